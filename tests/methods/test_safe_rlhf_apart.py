"""Reward and cost models on a base of their own, beside the policy."""
# ruff: noqa: F811  (a fixture of another file)

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_safe_rlhf_train import PPO, TRAIN, asks, config, pairs, trained  # noqa: F401  (fixture)

import tiny
from counterpoise.base import InputError
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf._align import both_scores
from counterpoise.methods.safe_rlhf._episodes import end_of_turn, look
from counterpoise.methods.safe_rlhf._ppo import Loop, roles
from counterpoise.methods.safe_rlhf._rollouts import Episode, roll_out
from counterpoise.methods.safe_rlhf._scores import COST, REWARD, ScoreModel, apart, scored_tokens
from counterpoise.models import Loaded, load
from counterpoise.train import Lora, training


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Another architecture, with a tokenizer and a template of its own."""
    return load(str(tiny.build("gemma3", tmp_path_factory.mktemp("policy"))), dtype="float32", device="cpu")


def test_a_model_apart_says_what_it_says_on_the_backbone(
    model: Loaded, trained: Path, folder: Path, tmp_path: Path
) -> None:
    """The same weights, once shared and once beside the policy: every number of every role is the same."""
    folders = {name: trained / name / "adapter" for name in (REWARD, COST)}
    own = {name: ScoreModel.load(str(folder), place, name, dtype="float32", device="cpu")
           for name, place in folders.items()}  # fmt: skip
    groups = roles(folders[REWARD], folders[COST], Lora(rank=2, alpha=4), PPO)
    with training(model, TRAIN.model_copy(update={"groups": groups}), tmp_path, total=1, run="x") as stepper:
        episodes = [
            Episode(row.id, tokens, row.prompt, reply.text, True)
            for row in pairs(4)
            for reply in row.replies
            if (tokens := scored_tokens(model, row.prompt, reply.text, None)) is not None
        ]
        shared = look(stepper, episodes, end_of_turn(model))
        beside = look(stepper, episodes, end_of_turn(model), own)
    assert len(episodes) == 8
    for name in ("rewards", "costs"):
        torch.testing.assert_close(getattr(beside, name), getattr(shared, name), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(beside.cost_values, shared.cost_values)


def test_one_model_apart_and_one_shared_make_one_run(
    policy: Loaded, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A cost model of another architecture reads the replies by its own tokenizer; the reward model is the policy's."""
    method, data = get("safe-rlhf-v"), tmp_path / "d"
    method.align(policy, config(data, stage="reward"), tmp_path / "run")
    given = config(data, stage="ppo", cost_model=trained / COST / "adapter")
    done = method.align(policy, given, tmp_path / "run")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    other = json.loads((trained / COST / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert run["train"]["ppo"]["separate"] == {"cost": other} and run["train"]["ppo"]["steps"] == 2
    assert f"the cost model has a base of its own, {other}" in capfd.readouterr().err
    assert load(policy.name, artifact=done.artifact.path, device="cpu").peft is not None
    again = method.align(policy, given, tmp_path / "run")  # finished: no model is loaded again
    assert again.artifact.fingerprint == done.artifact.fingerprint
    assert "base of its own" not in capfd.readouterr().err


def test_a_critic_without_a_model_to_start_from_starts_at_nothing_and_learns(
    policy: Loaded, trained: Path, tmp_path: Path
) -> None:
    models = {name: apart(policy, trained / name / "adapter", name) for name in (REWARD, COST)}
    own = {name: model for name, model in models.items() if model is not None}
    assert set(own) == {REWARD, COST}
    groups = roles(None, None, Lora(rank=2, alpha=4), PPO)
    with training(policy, TRAIN.model_copy(update={"groups": groups}), tmp_path, total=2, run="x") as stepper:
        loop = Loop(stepper, PPO, asks(), [], 0, models=own)
        episodes, _ = roll_out(stepper, asks(), PPO, seed=0)
        first = look(stepper, episodes, loop.end, own)
        assert not first.reward_values.any() and not first.cost_values.any()
        said = [(episode.prompt, episode.text if episode.text.strip() else ".") for episode in episodes]
        np.testing.assert_allclose(first.costs.numpy(), own[COST].scores(said), atol=1e-5)
        line = loop.update()
        after = look(stepper, episodes, loop.end, own)
        assert after.cost_values.any() and after.reward_values.any() and np.isfinite(line["cost_critic_loss"])
        torch.testing.assert_close(after.costs, first.costs)


def test_best_of_n_asks_a_model_apart(policy: Loaded, trained: Path) -> None:
    asked = [(row.prompt, reply.text) for row in pairs(3) for reply in row.replies]
    rewards, costs = both_scores(policy, trained / REWARD / "adapter", trained / COST / "adapter", asked)
    assert (costs[1::2] > costs[0::2]).all() and (rewards[1::2] > rewards[0::2]).all()


def test_a_merged_policy_is_not_the_base_of_its_models(folder: Path, trained: Path) -> None:
    """A reward model of the plain base on weights with an adapter merged would be neither."""
    merged = load(str(folder), adapter=trained / REWARD / "adapter", merge=True, dtype="float32", device="cpu")
    assert apart(merged, trained / COST / "adapter", COST) is not None
    assert apart(load(str(folder), dtype="float32", device="cpu"), trained / COST / "adapter", COST) is None


def test_a_base_that_was_replaced_is_refused(policy: Loaded, trained: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(trained / COST / "adapter", tmp_path / "cost")
    base = tiny.build("smolvlm", tmp_path / "base", seed=5)
    named = json.loads((moved / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(base)}
    (moved / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(InputError, match="was trained on other weights than .* has now"):
        apart(policy, moved, COST)


def test_a_model_apart_whose_base_is_gone_says_so(policy: Loaded, trained: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(trained / COST / "adapter", tmp_path / "cost")
    (moved / "adapter_config.json").write_text(
        json.dumps(json.loads((moved / "adapter_config.json").read_text()) | {"base_model_name_or_path": "/gone/base"})
    )
    with pytest.raises(InputError, match="/gone/base: no such model folder"):
        apart(policy, moved, COST)
