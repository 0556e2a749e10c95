"""Safe RLHF-V with factors on upper blocks: six roles that share a trunk say and learn what they do without one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_safe_rlhf_train import PPO, TRAIN, config, pairs

import tiny
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import PPOConfig, SACPOConfig
from counterpoise.methods.safe_rlhf._align import both_scores, scoring_with
from counterpoise.methods.safe_rlhf._episodes import end_of_turn, look
from counterpoise.methods.safe_rlhf._ppo import Loop, roles
from counterpoise.methods.safe_rlhf._rollouts import Ask, roll_out
from counterpoise.methods.safe_rlhf._scores import COST, REWARD, CostModel, RewardModel
from counterpoise.models import Loaded, decoder_layers, load
from counterpoise.train import Head, Lora, fit, training


def scores(loaded: Loaded, out: Path, reward_from: int = 1, cost_from: int = 1) -> Path:
    for name, objective, first in ((REWARD, RewardModel(), reward_from), (COST, CostModel(), cost_from)):
        groups = (Lora(name=name, rank=4, alpha=8, learning_rate=2e-2, layers_from=first), Head(name=name))
        fit(loaded, pairs(), objective, TRAIN.model_copy(update={"groups": groups, "epochs": 3}), out / name)
    return out


def asks() -> list[Ask]:
    return [Ask(row.id, row.prompt, True) for row in pairs(4)]


def updates(loaded: Loaded, models: Path, out: Path, ppo: PPOConfig = PPO, **changes: Any) -> tuple[Any, ...]:
    """Two updates: what was learned and logged, how the roles shared, and how often each block computed."""
    actor = Lora(rank=2, alpha=4, layers_from=1)
    groups = roles(models / REWARD / "adapter", models / COST / "adapter", actor, ppo)
    settings = TRAIN.model_copy(update={"groups": groups, **changes})
    blocks = decoder_layers(loaded.model)
    with training(loaded, settings, out, total=2, run=out.name, keep_features=True) as stepper:
        loop, counts = Loop(stepper, ppo, asks(), [], 0), [0] * len(blocks)
        episodes, _ = roll_out(stepper, asks(), ppo, 0)
        looked = look(stepper, episodes, end_of_turn(loaded))
        hooks = [
            block.self_attn.register_forward_hook(lambda *_, n=n: counts.__setitem__(n, counts[n] + 1))
            for n, block in enumerate(blocks)
        ]
        look(stepper, episodes, end_of_turn(loaded))
        loop.learn(_rows(stepper, episodes, looked, ppo))
        for hook in hooks:
            hook.remove()
        if stepper.trainable.trunk is not None:
            stepper.trainable.trunk.clear()
        line = loop.update()
        found = {k: v for k, v in line.items() if "seconds" not in k}
        assert stepper.trainable.trunk is None or not stepper.trainable.trunk.kept, "states outlive their update"
        return looked, stepper.values(), found, stepper.trainable.sharing, counts


def _rows(stepper: Any, episodes: Any, looked: Any, ppo: PPOConfig) -> Any:
    from counterpoise.methods.safe_rlhf._episodes import estimate, with_estimates
    from counterpoise.methods.safe_rlhf._ppo import mixed

    estimates = estimate(looked, ppo, [episode.group for episode in episodes])
    return with_estimates(episodes, looked, estimates, mixed(estimates, 1.0, "both", [True] * len(episodes)))


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    for name, value in one[0]._asdict().items():
        torch.testing.assert_close(value, getattr(other[0], name), atol=1e-4, rtol=1e-4)
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], atol=1e-3, rtol=1e-2)
    for name, value in one[2].items():
        assert value == pytest.approx(other[2][name], rel=1e-2, abs=2e-3), name


@pytest.mark.parametrize("arch", ["smolvlm", "qwen2_5_vl"])
def test_updates_with_a_trunk_are_those_without(arch: str, tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    models = scores(loaded, tmp_path / "scores")
    shared = updates(loaded, models, tmp_path / "shared")
    plain = updates(loaded, models, tmp_path / "plain", trunk_cache_mb=0)
    same(shared, plain)
    assert shared[3].startswith("blocks 0 to 0 computed once") and "itself" not in shared[3]
    assert plain[3] == "not shared: trunk_cache_mb is 0"
    assert shared[4][0] == 0 and shared[4][1] >= plain[4][1] == plain[4][0] > 0


def test_a_reward_model_on_all_blocks_is_computed_by_itself(model: Loaded, tmp_path: Path) -> None:
    models = scores(model, tmp_path / "scores", reward_from=0)
    shared = updates(model, models, tmp_path / "shared")
    assert shared[3].endswith("each by itself: reward, reward_critic")
    same(shared, updates(model, models, tmp_path / "plain", trunk_cache_mb=0))


def test_all_stages_share_and_say_so(model: Loaded, tmp_path: Path) -> None:
    given = config(tmp_path / "d", layers_from=1, ppo=PPO.model_copy(update={"epochs": 2}))
    run = get("safe-rlhf-v").align(model, given, tmp_path / "out").run
    from safetensors.torch import load_file

    for stage in ("reward", "cost", "ppo"):
        assert run["train"][stage]["trunk"].startswith("blocks 0 to 0 computed once"), stage
        names = load_file(tmp_path / "out" / stage / "adapter" / "adapter_model.safetensors")
        assert names and all(".layers.1." in name for name in names)
    line = json.loads((tmp_path / "out" / "ppo" / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < line["rollout_seconds"] + line["scoring_seconds"] < line["seconds"]
    # the setting belongs to the run: a policy of other blocks is another one
    from counterpoise.base import InputError

    with pytest.raises(InputError, match="other rows, settings or models"):
        get("safe-rlhf-v").align(model, given.model_copy(update={"layers_from": 0, "stage": "ppo"}), tmp_path / "out")


def test_sacpo_trains_the_upper_blocks_alone(model: Loaded, tmp_path: Path) -> None:
    files = config(tmp_path / "d").pairs
    given = SACPOConfig(pairs=files, layers_from=1, train=TRAIN, merge=0.5)
    run = get("sacpo").align(model, given, tmp_path / "out").run
    for step in ("helpfulness", "safety"):
        assert run["train"][step]["trunk"].startswith("blocks 0 to 0 computed once")
        assert all(".layers.1." in target for target in run["train"][step]["lora_targets"])


@pytest.mark.parametrize("cost_from", [0, 1])
def test_both_models_at_once_say_what_each_says(cost_from: int, model: Loaded, tmp_path: Path) -> None:
    models = scores(model, tmp_path, cost_from=cost_from)
    asked = [(row.prompt, reply.text) for row in pairs() for reply in row.replies]
    folders = [models / name / "adapter" for name in (REWARD, COST)]
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    found = both_scores(model, *folders, asked)
    for name, folder_, own in zip((REWARD, COST), folders, found, strict=True):
        with scoring_with(model, folder_, name) as alone:
            np.testing.assert_allclose(own, alone.scores(asked), atol=1e-4)
    assert float(abs(found[0] - found[1]).max()) > 1e-3
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
