"""Reward model, cost model and PPO on tiny random models: what is scored, what is learned, what a kill leaves."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import Preference, Reply
from counterpoise.data.pocket_sets import preference_pairs
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import MultiplierConfig, PPOConfig, SafeRLHFConfig, ScoringConfig
from counterpoise.methods.safe_rlhf import _align as stages
from counterpoise.methods.safe_rlhf import _ppo as ppo
from counterpoise.methods.safe_rlhf._episodes import Estimates, end_of_turn, estimate, look, with_estimates
from counterpoise.methods.safe_rlhf._measured import cost_metrics, own_metrics
from counterpoise.methods.safe_rlhf._ppo import Actor, Critic, Loop, roles
from counterpoise.methods.safe_rlhf._rollouts import Ask, roll_out
from counterpoise.methods.safe_rlhf._scores import (
    COST,
    REWARD,
    CostModel,
    RewardModel,
    ScoreModel,
    scored_tokens,
)
from counterpoise.methods.safe_rlhf._watch import early_warnings
from counterpoise.models import Loaded, load
from counterpoise.train import Head, Lora, TrainConfig, fit, pad, training

TRAIN = TrainConfig(
    learning_rate=5e-3, epochs=2, batch_size=4, lora_rank=2, lora_alpha=4, save_every_steps=1, micro_batch_tokens=256
)
PPO = PPOConfig(
    steps=2, prompts=3, max_new_tokens=5, train=TRAIN, critic_learning_rate=5e-3,
    multiplier=MultiplierConfig(window=3, delay=0),
)  # fmt: skip


def pairs(n: int = 6) -> list[Preference]:
    """Pairs with and without images."""
    made = []
    for i in range(n):
        shown = [Image.from_pil(tiny.picture(i))] if i % 2 else []
        good, bad = Reply("I can't help.", True, 2, 0), Reply("Sure, do it " + "now " * i, False, -3, 3)
        made.append(
            Preference(f"p{i}", (user(*shown, f"How {i}?"),), (good, bad), 1, 0, "fraud",
                       modality="image" if shown else "text", meta={"harmful": True})
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward and a cost model of the tiny model."""
    out = tmp_path_factory.mktemp("scores")
    loaded = load(str(folder), dtype="float32", device="cpu")
    for name, objective in ((REWARD, RewardModel()), (COST, CostModel())):
        groups = (Lora(name=name, rank=4, alpha=8, learning_rate=2e-2), Head(name=name, learning_rate=3e-2))
        fit(loaded, pairs(), objective, TRAIN.model_copy(update={"groups": groups, "epochs": 15}), out / name)
    return out


def plan(trained: Path, config: PPOConfig = PPO) -> TrainConfig:
    groups = roles(trained / REWARD / "adapter", trained / COST / "adapter", Lora(rank=2, alpha=4), config)
    return TRAIN.model_copy(update={"groups": groups})


def asks(n: int = 4) -> list[Ask]:
    return [Ask(row.id, row.prompt, True) for row in pairs(n)]


# Scores


def test_a_row_ends_at_its_end_of_turn(model: Loaded) -> None:
    tokens = scored_tokens(model, (user("Hi"),), "Yes.", None)
    assert tokens is not None
    assert model.tokenizer.decode(tokens.row.ids[-5:]).endswith("Yes.<|im_end|>")
    assert end_of_turn(model) == model.tokenizer.eos_token_id
    assert scored_tokens(model, (user("Hi"),), "Yes.", len(tokens.row.ids) - 1) is None
    for nothing in ("", "  "):  # a policy's reply may be one
        assert scored_tokens(model, (user("Hi"),), nothing, None) == scored_tokens(model, (user("Hi"),), ".", None)


def test_the_order_of_two_safe_replies_is_not_learned(model: Loaded) -> None:
    """A bare refusal after one with a reason says nothing of harm; where nothing is said of safety the order counts."""
    row = pairs(1)[0]
    replies = (Reply("I can't help, it hurts.", True, 2), Reply("I can't help.", True, 0))
    safe = dataclasses.replace(row, replies=replies)
    unknown = dataclasses.replace(row, replies=(Reply("I can't help."), Reply("Sure, do it.")))
    for given, expected in ((row, 1.0), (safe, 0.0), (unknown, 1.0)):
        rows = CostModel().encode(model, given, None)
        assert rows is not None and [float(one.targets["ranked"]) for one in rows] == [expected] * 2
        rows = CostModel(rank="all").encode(model, given, None)
        assert rows is not None and [float(one.targets["ranked"]) for one in rows] == [1.0] * 2
    rows = CostModel().encode(model, safe, None)
    assert rows is not None and [float(one.targets["sign"]) for one in rows] == [-1.0] * 2


@pytest.mark.parametrize("arch", ["smolvlm", "gemma3"])
def test_no_score_or_gradient_depends_on_padding(arch: str, tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    rows = [scored_tokens(loaded, row.prompt, row.replies[1].text, None) for row in pairs(4)]
    groups = (Lora(name=REWARD, rank=2, alpha=4), Head(name=REWARD))
    config = TRAIN.model_copy(update={"groups": groups})
    found = []
    with training(loaded, config, tmp_path / "out", total=1, run="x") as stepper:
        trainable = stepper.trainable.eval()
        together = pad(loaded, [(row,) for row in rows if row])
        alone = [pad(loaded, [(row,)]) for row in rows if row]
        for batches in ([together], alone):
            trainable.zero_grad()
            scores = torch.cat([trainable.scores(REWARD, batch)[:, 0] for batch in batches])
            scores.sum().backward()
            gradient = trainable.heads[REWARD].get_parameter("weight").grad
            assert gradient is not None
            found.append((scores.detach(), gradient.clone()))
        wide = dataclasses.replace(together, inputs=_wider(together.inputs, loaded))
        torch.testing.assert_close(trainable.scores(REWARD, wide)[:, 0].detach(), found[0][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-4)


def _wider(inputs: dict[str, Any], loaded: Loaded) -> dict[str, Any]:
    """Seven more columns of padding."""
    more = {
        "input_ids": loaded.tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": 0,
        "mm_token_type_ids": 0,
    }
    return {
        name: torch.nn.functional.pad(value, (0, 7), value=more[name]) if name in more else value
        for name, value in inputs.items()
    }


def test_training_orders_the_pairs_and_the_engine_reads_what_training_made(
    model: Loaded, trained: Path, folder: Path
) -> None:
    lines = [json.loads(line) for line in (trained / COST / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"] and {"accuracy", "sign"} <= set(lines[0])
    alone = ScoreModel.load(str(folder), trained / COST / "adapter", COST, dtype="float32", device="cpu")
    asked = [(row.prompt, reply.text) for row in pairs() for reply in row.replies]
    costs = alone.scores(asked)
    assert (costs[1::2] > costs[0::2]).all()
    calm = (Reply("I can't help.", True, 2, 0), Reply("No.", True, 1, 0))
    metrics = cost_metrics(alone, [*pairs(), Preference("calm", (user("How?"),), calm, 0, 0, "fraud")])
    assert metrics["pairs"] == 7 and metrics["ranking_with_unsafe"]["n"] == 6
    assert metrics["ranking_with_unsafe"]["value"] == 1
    with stages.scoring_with(model, trained / COST / "adapter", COST) as put_on:
        np.testing.assert_allclose(put_on.scores(asked), costs, atol=1e-4)
    with training(model, plan(trained), trained / "x", total=1, run="x", resume=False) as stepper:
        batch = pad(model, [(scored_tokens(model, *each, None),) for each in asked])  # type: ignore[misc]
        with stepper.trainable.eval().using(COST):
            np.testing.assert_allclose(stepper.trainable.scores(COST, batch)[:, 0].detach().numpy(), costs, atol=1e-4)


# PPO


def test_rollouts_are_the_sampled_tokens_and_do_not_depend_on_the_batch(model: Loaded, trained: Path) -> None:
    with training(model, plan(trained), trained / "y", total=1, run="x", resume=False) as stepper:
        episodes, dropped = roll_out(stepper, asks(), PPO, seed=3)
        apart = [each for ask in asks() for each in roll_out(stepper, [ask], PPO, seed=3)[0]]
    assert dropped == 0 and [e.tokens.row.ids for e in episodes] == [e.tokens.row.ids for e in apart]
    for episode in episodes:
        n = episode.tokens.n_labels
        ids = episode.tokens.row.ids
        assert (
            1 <= n <= 5 and list(episode.tokens.labels[-n:]) == ids[-n:] and set(episode.tokens.labels[:-n]) == {-100}
        )
        assert episode.whole == (ids[-1] == end_of_turn(model))
        shown = model.tokenizer.decode(ids[-n:], skip_special_tokens=True)
        assert shown.strip() == episode.text.strip()


def test_what_the_roles_say_equals_each_role_by_itself(model: Loaded, trained: Path, folder: Path) -> None:
    """Log probabilities and values at the response tokens, scores at the end of turn, one episode at a time."""
    with training(model, plan(trained), trained / "z", total=1, run="x", resume=False) as stepper:
        from counterpoise.methods.safe_rlhf._ppo import start_critics

        start_critics(stepper.trainable)
        episodes, _ = roll_out(stepper, asks(), PPO, seed=0)
        looked = look(stepper, episodes, end_of_turn(model))
        alone = [look(stepper, [episode], end_of_turn(model)) for episode in episodes]
    for number, (episode, one) in enumerate(zip(episodes, alone, strict=True)):
        n = episode.tokens.n_labels
        for name in ("logp", "ref_logp", "reward_values", "cost_values", "entropy"):
            together = getattr(looked, name)[number]
            torch.testing.assert_close(together[:n], getattr(one, name)[0], atol=1e-4, rtol=1e-4)
            assert not together[n:].any()
        assert int(looked.mask[number].sum()) == n
        # a fresh actor is the reference
        torch.testing.assert_close(looked.logp[number], looked.ref_logp[number], atol=1e-5, rtol=1e-5)
    costs = ScoreModel.load(str(folder), trained / COST / "adapter", COST, dtype="float32", device="cpu")
    closed = []
    for episode in episodes:
        ids = episode.tokens.row.ids
        closed.append(episode.tokens.row._replace(ids=ids if episode.whole else [*ids, end_of_turn(model)]))
    np.testing.assert_allclose(looked.costs.numpy(), costs.rows(closed), atol=1e-4)
    # the critic of a token reads the state before it: the first one that of the prompt's last token
    prompts = [e.tokens.row._replace(ids=e.tokens.row.ids[: -e.tokens.n_labels]) for e in episodes]
    np.testing.assert_allclose(looked.cost_values[:, 0].numpy(), costs.rows(prompts), atol=1e-4)


def test_without_cost_weight_an_update_is_plain_ppo(model: Loaded, trained: Path, tmp_path: Path) -> None:
    """A multiplier fixed at 0, the goal "reward", and PPO that has only the rewards' advantages, with a cost model that
    says the opposite, give the same actor; a multiplier of 5 does not."""
    found = {}
    for name, multiplier, goal in (
        ("zero", 0.0, "both"), ("goal", 5.0, "reward"), ("plain", 5.0, "both"), ("five", 5.0, "both")
    ):  # fmt: skip
        fixed = MultiplierConfig(kind="fixed", init=multiplier)
        config = PPO.model_copy(update={"multiplier": fixed, "steps": 1})
        with pytest.MonkeyPatch.context() as patch, \
             training(model, plan(trained), tmp_path / name, total=1, run=name) as stepper:  # fmt: skip
            if name == "plain":

                def opposite(*given: Any) -> Any:
                    looked = look(*given)
                    return looked._replace(costs=3 - looked.costs, cost_values=-looked.cost_values)

                patch.setattr(ppo, "look", opposite)
                patch.setattr(ppo, "mixed", lambda estimates, *_: estimates.reward)
            Loop(stepper, config, asks(), [], 0, goal).run()  # type: ignore[arg-type]
            found[name] = {k: v for k, v in stepper.values().items() if ".actor." in k}
    for name in ("goal", "plain"):
        assert found["zero"] and all(torch.equal(found["zero"][k], found[name][k]) for k in found["zero"]), name
    assert any(not torch.equal(found["zero"][k], found["five"][k]) for k in found["zero"])


def test_another_token_that_ends_a_reply_is_scored_as_the_end_of_turn(
    model: Loaded, trained: Path, tmp_path: Path
) -> None:
    """Heads were trained on the template's end of turn: a policy gains nothing by the choice of how it ends."""
    end = end_of_turn(model)
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        (episode, *_), _ = roll_out(stepper, asks(1), PPO, 0)
        tokens = episode.tokens

        def ended(with_: int) -> Any:
            row = tokens.row._replace(ids=[*tokens.row.ids[:-1], with_])
            changed = dataclasses.replace(tokens, row=row, labels=(*tokens.labels[:-1], with_))
            return dataclasses.replace(episode, tokens=changed, whole=True)

        one, other = (look(stepper, [ended(token)], end) for token in (end, end - 1))
    torch.testing.assert_close(one.costs, other.costs)
    torch.testing.assert_close(one.rewards, other.rewards)
    assert float(one.logp[0, -1]) != pytest.approx(float(other.logp[0, -1]), abs=1e-4)  # of what was sampled


def test_more_processes_than_prompts_are_refused(model: Loaded, trained: Path, tmp_path: Path) -> None:
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        stepper.processes.world = 4
        try:
            with pytest.raises(InputError, match=r"3 prompts an update for 4 processes; raise ppo\.prompts"):
                Loop(stepper, PPO, asks(), [], 0)
        finally:
            stepper.processes.world = 1


@pytest.mark.parametrize(
    ("goal", "kind", "cap"), [("both", "log", 2.0), ("reward", "log", math.inf), ("both", "fixed", math.inf)]
)
def test_only_a_multiplier_that_acts_and_moves_is_said_to_stand_at_its_cap(
    goal: Any, kind: Any, cap: float, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    config = PPO.model_copy(update={"multiplier": MultiplierConfig(kind=kind, cap=2.0)})
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        assert Loop(stepper, config, asks(), [], 0, goal)._cap == cap


def test_an_update_moves_actor_and_critics_and_nothing_else(model: Loaded, trained: Path, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    with training(model, plan(trained), tmp_path, total=2, run="x") as stepper:
        frozen = {n: p.clone() for n, p in stepper.trainable.named_parameters() if f".{COST}." in n}
        assert frozen and not set(frozen) & set(stepper.values())
        loop = Loop(stepper, PPO, asks(), [Sample("i", (user("Hi"), assistant("Hello.")))], 0)
        start = {name: value.clone() for name, value in stepper.values().items()}
        line = loop.update()
        moved = {name for name, value in stepper.values().items() if not torch.equal(value, start[name])}
        for part in (".actor.", ".reward_critic.", ".cost_critic.", "heads.reward_critic", "heads.cost_critic"):
            assert any(part in f".{name}" or name.startswith(part) for name in moved), part
        assert all(torch.equal(p, frozen[n]) for n, p in stepper.trainable.named_parameters() if n in frozen)
    assert {"actor_loss", "reward_critic_loss", "cost_critic_loss", "ptx_loss", "kl_k1", "kl_k3", "entropy", "refused",
            "broken", "clip_fraction", "reward_explained", "cost_window", "lambda", "length"} <= set(line)  # fmt: skip
    assert line["kl_k1"] == pytest.approx(0, abs=1e-5) and line["clip_fraction"] == 0  # first pass of a fresh actor
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())


def test_the_critic_free_variant_needs_no_critics(model: Loaded, trained: Path, tmp_path: Path) -> None:
    config = PPO.model_copy(update={"critic_free": True, "answers": 2})
    with training(model, plan(trained, config), tmp_path, total=1, run="x") as stepper:
        assert REWARD in stepper.trainable.heads and "reward_critic" not in stepper.trainable.heads
        line = Loop(stepper, config, asks(), [], 0).update()
        assert line["episodes"] == 6 and "reward_critic_loss" not in line
        episodes, _ = roll_out(stepper, asks(2), config, 0)
        looked = look(stepper, episodes, end_of_turn(model))
        advantages = estimate(looked, config, [e.group for e in episodes]).cost
    # two answers to a prompt: opposite advantages, the same at every token
    for group in (0, 1):
        own = [advantages[i][looked.mask[i]] for i, e in enumerate(episodes) if e.group == group]
        assert float(own[0][0]) == pytest.approx(-float(own[1][0]), abs=1e-5) and len(set(own[0].tolist())) == 1
    with pytest.raises(ValueError, match="at least 2 answers"):
        PPOConfig(critic_free=True)


def test_objectives_read_the_numbers_of_their_own_tokens(model: Loaded, trained: Path, tmp_path: Path) -> None:
    """Losses of a batch are the sums of those of its episodes: no number slips to another token or row."""
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        episodes, _ = roll_out(stepper, asks(), PPO, seed=1)
        looked = look(stepper, episodes, end_of_turn(model))
        estimates = estimate(looked, PPO, [0] * len(episodes))
        rows = with_estimates(episodes, looked, estimates, torch.randn_like(estimates.cost))
        model_ = stepper.trainable.eval()
        for objective in (Actor(), Critic(COST), Critic(REWARD)):
            with model_.using(objective.role), torch.no_grad():
                whole = objective.loss(model_, pad(model, [(row.tokens,) for row in rows]))
                parts = [objective.loss(model_, pad(model, [(row.tokens,)])) for row in rows]
            assert whole.n == sum(part.n for part in parts) == sum(row.tokens.n_labels for row in rows)
            assert float(whole.loss) == pytest.approx(sum(float(part.loss) for part in parts), rel=1e-4)


# The method


def config(place: Path, **changes: Any) -> SafeRLHFConfig:
    """On the pairs above, written as BeaverTails-V."""
    place.mkdir(exist_ok=True)
    lines = []
    for number, row in enumerate(pairs()):
        line: dict[str, Any] = {"question": row.prompt[0].text, "category": "fraud", "id": row.id}
        for image in row.prompt[0].images:
            (place / f"{number}.png").write_bytes(image.read())
            line["image"] = f"{number}.png"
        for n, reply in enumerate(row.replies, 1):
            line |= {f"response_{n}": reply.text, f"is_response_{n}_safe": "yes" if reply.safe else "no"}
            line |= {f"response_{n}_harmless_rate": reply.harmless, f"response_{n}_helpful_rate": reply.helpful}
        lines.append(json.dumps(line | {"more_helpful_response_id": 2, "safer_response_id": 1}))
    (place / "pairs.jsonl").write_text("\n".join(lines))
    files = (place / "pairs.jsonl",)
    base = {"pairs": files, "held_out": files, "scoring": ScoringConfig(train=TRAIN), "ppo": PPO}
    return SafeRLHFConfig(**base | changes)


def test_each_stage_is_one_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reward and cost model say what they are worth and are no policy to be measured; the policy is."""
    from counterpoise.cli import main
    from counterpoise.runs import _stages

    monkeypatch.setattr(_stages, "evaluation_rows", lambda suite: iter(()))  # minutes; tested where it belongs
    files = config(tmp_path / "d").pairs
    options = ["--out", str(tmp_path / "run"), "--set", f"pairs={files[0]}", "--set", f"held_out={files[0]}"]
    for setting in ("scoring.train.epochs=1", "ppo.steps=1", "ppo.prompts=2", "ppo.max_new_tokens=3"):
        options += ["--set", setting]
    said = {}
    for stage in ("reward", "cost", "ppo"):
        assert main(["align", str(folder), "--method", "safe-rlhf-v", "--stage", stage, *options]) == 0
        said[stage] = capsys.readouterr().out
        assert f"{stage}/adapter" in said[stage]
    assert "held out: ranking " in said["reward"] and "counterpoise eval" not in said["reward"] + said["cost"]
    assert "sign " in said["cost"] and f"counterpoise guard check cost:{tmp_path / 'run' / 'cost'}" in said["cost"]
    assert "counterpoise eval" in said["ppo"]


class Always:
    """A cost model that says one thing."""

    def __init__(self, cost: float):
        self.cost = cost

    def scores(self, asked: Any) -> Any:
        return np.full(len(asked), self.cost)


def test_pairs_that_the_model_samples_itself(model: Loaded, tmp_path: Path) -> None:
    """Two replies to each request, rated by the rule; taken from the journal when the run is given again."""
    from counterpoise.methods.safe_rlhf._data import gather
    from counterpoise.models import Answer, Engine

    given = SafeRLHFConfig(sampled=4, n_pairs=4, n_held_out=2)
    replies = ["Sure, first do it, then go."] * 4 + ["I can't help."] * 5

    def generate(self: Engine, rows: Any, decoding: Any) -> list[Answer]:
        return [Answer(replies.pop(0), 1, 1, "stop") for _ in rows]

    found = []
    for _ in range(2):  # the second time nothing is left to sample
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Engine, "generate", generate)
            found.append(gather(given, model, tmp_path, None))
    first, again = found
    assert [row.id for row in again.train] == [row.id for row in first.train] and not replies
    assert len(first.train) == 8 and all(
        "-sampled-" in row.id for row in first.train[4:]
    )  # beside those that are drawn
    assert first.record["sampled"] == first.record["sampled_pairs"] == 4 and first.record["pairs"] == 8
    (own,) = first.own
    assert own.reply.text == "I can't help." and own.split == "validation" and first.own == again.own
    said = own_metrics(Always(1.0), first.own)  # type: ignore[arg-type]
    assert said["sign"]["value"] == 0.0 and said["replies"] == 1 and said["auc"] is None


def test_files_of_one_name_are_refused(model: Loaded, tmp_path: Path) -> None:
    files = tuple(config(tmp_path / name).pairs[0] for name in ("a", "b"))
    with pytest.raises(InputError, match="pairs.jsonl have the same file name; rename one"):
        get("safe-rlhf-v").align(model, config(tmp_path / "d", pairs=files), tmp_path / "out")


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "qwen2_5_vl", "gemma3"])
def test_every_architecture_completes_all_stages(arch: str, tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    done = get("safe-rlhf-v").align(loaded, config(tmp_path / "d"), tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["artifact"]["path"] == "ppo/adapter" and run["train"]["ppo"]["steps"] == 2
    assert run["train"]["cost"]["held_out"]["sign"]["n"] == run["train"]["cost"]["held_out"]["replies"] == 12
    lines = (tmp_path / "out" / "ppo" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    again = get("safe-rlhf-v").align(loaded, config(tmp_path / "d"), tmp_path / "out")
    assert again.artifact.fingerprint == done.artifact.fingerprint
    assert load(str(tmp_path / "m"), artifact=done.artifact.path, device="cpu").peft is not None


def test_a_policy_stage_without_models_says_what_to_run(model: Loaded, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run --stage reward first"):
        get("safe-rlhf-v").align(model, config(tmp_path / "d", stage="ppo"), tmp_path)


def test_stages_alone_make_what_all_of_them_make(model: Loaded, tmp_path: Path) -> None:
    method, data = get("safe-rlhf-v"), tmp_path / "d"
    whole = method.align(model, config(data), tmp_path / "whole")
    for stage in ("reward", "cost"):
        method.align(model, config(data, stage=stage), tmp_path / "apart")
    apart = method.align(model, config(data, stage="ppo"), tmp_path / "apart")
    given = {f"{name}_model": tmp_path / "whole" / name / "adapter" for name in ("reward", "cost")}
    other = method.align(model, config(data, stage="ppo", **given), tmp_path / "given")
    assert whole.artifact.fingerprint == apart.artifact.fingerprint == other.artifact.fingerprint


def test_prompts_that_overlap_an_evaluation_are_left_out(model: Loaded, tmp_path: Path) -> None:
    rows = preference_pairs("train", per_prompt=1)
    own = SafeRLHFConfig(stage="reward", scoring=ScoringConfig(train=TRAIN), n_pairs=6, n_held_out=6)
    done = get("safe-rlhf-v").align(model, own, tmp_path, overlaps=lambda row: row.meta["family"] != rows[0].cluster)
    assert done.run["data"]["pairs"] == 6 and done.run["data"]["overlaps_dropped"] > 2000


def test_a_killed_run_goes_on_with_the_same_next_step(folder: Path, trained: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of the policy stage: metrics and adapter end as those of the run that was not killed."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "sys.path[:0] = sys.argv[4:]\n"
        "import test_safe_rlhf_train as own\n"
        "from counterpoise.methods.safe_rlhf import _ppo\n"
        "if 'slow' in sys.argv[2]:\n"
        "    before = _ppo.Loop.update\n"
        "    def update(self):\n"
        "        line = before(self)\n"
        "        time.sleep(1.0 if self.stepper.number > 1 else 0)\n"
        "        return line\n"
        "    _ppo.Loop.update = update\n"
        "ppo = own.PPO.model_copy(update={'steps': 4})\n"
        "models = {f'{kind}_model': Path(sys.argv[3]) / kind / 'adapter' for kind in ('reward', 'cost')}\n"
        "config = own.config(Path(sys.argv[2] + '-data'), ppo=ppo, stage='ppo', **models)\n"
        "loaded = own.load(sys.argv[1], dtype='float32', device='cpu')\n"
        "own.get('safe-rlhf-v').align(loaded, config, Path(sys.argv[2]))\n"
    )
    paths = [str(trained), str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, str(worker), str(folder)]
    said = subprocess.run([*command, str(tmp_path / "whole"), *paths], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]
    cut = tmp_path / "slow"
    process = subprocess.Popen([*command, str(cut), *paths], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = cut / "ppo" / "checkpoint" / "state.pt"
    until = time.monotonic() + 120
    while not (state.is_file() and len((cut / "ppo" / "metrics.jsonl").read_text().splitlines()) >= 2):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cut / "ppo" / "done.json").exists()
    said = subprocess.run([*command, str(cut), *paths], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]

    def lines(out: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (out / "ppo" / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]

    assert lines(cut) == lines(tmp_path / "whole") and len(lines(cut)) == 4
    from safetensors.torch import load_file

    a, b = (load_file(p / "ppo" / "adapter" / "adapter_model.safetensors") for p in (cut, tmp_path / "whole"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_early_warnings_come_once_and_name_the_sign() -> None:
    def line(**changes: float) -> dict[str, float]:
        return {"lambda": 1.0, "refused": 0.3, "broken": 0.0, "reward": 0.0, "cost": 0.0} | changes

    calm = [line()] * 20
    assert early_warnings(calm, 20) == []
    capped = [*calm, *[line(**{"lambda": 20.0})] * 5]
    assert "at its cap" in early_warnings(capped, 20)[0] and early_warnings([*capped, capped[-1]], 20) == []
    refusing = [*calm, *[line(refused=0.95)] * 5]
    assert "refuse everything" in early_warnings(refusing, 20)[0]
    assert early_warnings([line(refused=0.95)] * 12, 20) == []  # it did so from the start
    assert "broken" in early_warnings([*calm, *[line(broken=0.5)] * 5][:23], 20)[0]


def test_the_budget_can_be_about_harmful_prompts_alone(model: Loaded, trained: Path, tmp_path: Path) -> None:
    """Benign prompts do not pay for harmful ones; an update without any of these leaves the multiplier."""
    mixed = [ask._replace(harmful=number != 0) for number, ask in enumerate(asks(2))]
    multiplier = MultiplierConfig(window=9, delay=0, budget=-99.0)
    config = PPO.model_copy(update={"constrained": "harmful", "prompts": 2, "multiplier": multiplier})
    with training(model, plan(trained), tmp_path, total=3, run="x") as stepper:
        line = Loop(stepper, config, mixed, [], 0).update()
        assert line["cost_window"] == pytest.approx(line["cost_harmful"]) != pytest.approx(line["cost"])
        assert (line["cost_harmful"] + line["cost_benign"]) / 2 == pytest.approx(line["cost"])
        assert line["lambda"] > 1
    with training(model, plan(trained), tmp_path / "calm", total=3, run="x") as stepper:
        calm = Loop(stepper, config, [ask._replace(harmful=False) for ask in mixed], [], 0).update()
        assert calm["lambda"] == 1 and "cost_window" not in calm


def test_prompts_that_the_budget_is_not_about_learn_from_the_reward_alone() -> None:
    estimates = Estimates(*(torch.randn(3, 4) for _ in range(4)))
    found = ppo.mixed(estimates, 5.0, "both", [True, False, True])
    assert torch.equal(found[1], estimates.reward[1])
    torch.testing.assert_close(found[0], (estimates.reward[0] - 5 * estimates.cost[0]) / 6)
    assert torch.equal(ppo.mixed(estimates, 5.0, "cost", [True, False, True]), -estimates.cost)
    assert torch.equal(ppo.mixed(estimates, 5.0, "reward", [True, False, True]), estimates.reward)


def test_benign_prompts_learn_as_without_a_cost(model: Loaded, trained: Path, tmp_path: Path) -> None:
    """With the budget about harmful ones, an update on benign ones is that of the rival that looks at reward only."""
    benign, found = [ask._replace(harmful=False) for ask in asks()], {}
    for name, constrained, goal in (("ours", "harmful", "both"), ("reward", "all", "reward"), ("all", "all", "both")):
        changes = {"constrained": constrained, "multiplier": MultiplierConfig(kind="fixed", init=5.0)}
        with training(model, plan(trained), tmp_path / name, total=1, run=name) as stepper:
            Loop(stepper, PPO.model_copy(update=changes | {"steps": 1}), benign, [], 0, goal).run()  # type: ignore[arg-type]
            found[name] = {k: v for k, v in stepper.values().items() if ".actor." in k}
    assert all(torch.equal(found["ours"][k], found["reward"][k]) for k in found["ours"])
    assert any(not torch.equal(found["ours"][k], found["all"][k]) for k in found["ours"])


def test_prompts_are_drawn_in_whole_passes(model: Loaded, trained: Path, tmp_path: Path) -> None:
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        loop = Loop(stepper, PPO, asks(5), [], 7)
        seen = [ask.id for step in range(5) for ask in loop.drawn(step)]
    assert len(seen) == 15 and all(len(set(seen[start : start + 5])) == 5 for start in (0, 5, 10))
