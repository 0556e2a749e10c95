"""The method: the stages `reward`, `cost` and `ppo`, each resumable, each alone or one after another."""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import Artifact, InputError, read_json, write_json

from .._knobs import Knob, Size
from .._outcome import AlignResult, write_run
from .._registry import method
from .._sources import Overlaps, in_turn, made_rows, rows_from
from ._config import SafeRLHFConfig

if TYPE_CHECKING:
    from counterpoise.chat import Conversation, Sample
    from counterpoise.models import Loaded

    from ._data import Pairs
    from ._scores import Floats, ScoreModel

OWN_PAIRS = 2752
ROW_TOKENS = 160  # prompt and two replies of our own pairs


def size(config: SafeRLHFConfig) -> Size:
    """Pairs of both models, and the answers of PPO."""
    pairs = config.n_pairs or OWN_PAIRS
    ppo = config.ppo
    written = ppo.steps * ppo.prompts * ppo.answers * ppo.max_new_tokens if config.stage in ("all", "ppo") else 0
    both = 2 if config.stage == "all" else int(config.stage in ("reward", "cost"))
    return Size(pairs * both, ROW_TOKENS, config.scoring.train.epochs, written)


@method(
    "safe-rlhf-v",
    title="Safe RLHF-V",
    paper="Ji et al., Safe RLHF-V: Safe Reinforcement Learning from Multi-modal Human Feedback, NeurIPS 2025, "
    "arXiv 2503.17682",
    source="https://github.com/saferlhf-v/saferlhf-v",
    licence="Apache-2.0 (nothing was copied)",
    config=SafeRLHFConfig,
    knobs=(
        Knob("budget", "budget of the mean cost", direction="falling", setting="ppo.multiplier.budget"),
        Knob("pairs", "preference pairs", "rows", setting="n_pairs", current=lambda c: c.n_pairs or OWN_PAIRS),
    ),
    size=size,
)
def align(
    loaded: "Loaded", config: SafeRLHFConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Train a reward and a cost model on pairs with two orders, then the policy by PPO under a budget of mean cost.

    Six roles share one backbone. Writes `out/reward/`, `out/cost/`, `out/ppo/` (adapters, metrics, what held-out pairs
    say), and `out/run.json`. Running again resumes or returns what is there. Costs: sampling, and a policy that may
    learn to refuse too much; the log shows refusals on harmful and on benign prompts. Raises InputError for anything
    the user can mend.
    """
    from ._data import gather

    started = time.monotonic()
    if loaded.adapter is not None and config.stage in ("all", "ppo"):
        raise InputError(
            f"{loaded.name}: is an adapter on a base; its reward and cost model would be joined with it. Save the "
            "merged weights and train on those"
        )
    with in_turn(out):
        pairs = gather(config, loaded, out, overlaps)
    built = time.monotonic()
    record: dict[str, Any] = {}
    artifact: Artifact | None = None
    for stage in ("reward", "cost") if config.stage == "all" else (config.stage,):
        if stage == "ppo" or (config.stage == "all" and _given(config, stage) is not None):
            continue
        artifact, record[stage] = _score_stage(loaded, config, out / stage, pairs, stage, resume)
    if config.stage in ("all", "ppo"):
        artifact, record["ppo"] = _ppo_stage(loaded, config, out, pairs, resume)
    assert artifact is not None
    return write_run(
        out,
        method="safe-rlhf-v",
        loaded=loaded,
        config=config,
        artifact=artifact,
        data=pairs.record,
        train=record,
        timings={"build": built - started, "train": time.monotonic() - built},
    )


def _given(config: SafeRLHFConfig, stage: str) -> Path | None:
    return config.reward_model if stage == "reward" else config.cost_model


# Reward and cost model


def _score_stage(
    loaded: "Loaded", config: SafeRLHFConfig, out: Path, pairs: "Pairs", stage: str, resume: bool
) -> tuple[Artifact, dict[str, Any]]:
    """Train one of the two and measure it on the held-out pairs."""
    from counterpoise.train import Head, Lora, digest, fit, length_limit

    from ._guard import HELD_OUT
    from ._measured import cost_metrics, own_metrics, reward_metrics
    from ._probe import probed
    from ._scores import CostModel, RewardModel

    scoring, train = config.scoring, config.scoring.train
    rows = pairs.ordered("helpfulness" if stage == "reward" else "safety")
    if not rows:
        raise InputError(f"safe-rlhf-v: no pair has the order that a {stage} model is trained on; give other pairs")
    lora = Lora(
        name=stage, rank=train.lora_rank, alpha=train.lora_alpha, dropout=train.lora_dropout,
        layers_from=config.layers_from,
    )  # fmt: skip
    objective: RewardModel | CostModel = RewardModel(scoring.mu)
    if stage == "cost":
        objective = CostModel(scoring.k, scoring.mu, scoring.sign, scoring.rank)
    start = None
    if scoring.probe and not train.groups:
        start = probed(loaded, rows, objective, length_limit(loaded, train.max_length), out / "probe")
    rate = scoring.head_learning_rate or (train.learning_rate / 10 if start else 1e-3)
    groups = (lora, Head(name=stage, start=start, learning_rate=rate))
    settings = train.model_copy(update={"seed": config.seed, "groups": train.groups or groups})
    result = fit(loaded, rows, objective, settings, out, resume=resume)
    found = dataclasses.asdict(result) | {"rows_with_order": len(rows)}
    own = pairs.own if stage == "cost" else []
    file, run = out / HELD_OUT, f"3 {result.fingerprint} {digest([pairs.held_out, own])}"
    if not pairs.held_out:
        file.unlink(missing_ok=True)  # of an earlier run
    else:
        known = read_json(file) if file.is_file() else {}
        if known.get("run") != run:
            with scoring_with(loaded, result.artifact.path, stage) as model:
                metrics = (reward_metrics if stage == "reward" else cost_metrics)(model, pairs.held_out)
                metrics |= {"own": own_metrics(model, own)} if own else {}
            known = {"run": run, "adapter": result.artifact.fingerprint, "metrics": metrics}
            write_json(file, known)
        found["held_out"] = known["metrics"]
    return result.artifact, found


@contextmanager
def scoring_with(loaded: "Loaded", folder: Path, head: str) -> Iterator["ScoreModel"]:
    """A trained reward or cost model put on a loaded base for a while: no second model in memory."""
    import tempfile

    from counterpoise.train import Head, Lora, TrainConfig, training

    from ._scores import ScoreModel

    config = TrainConfig(groups=(Lora(name=head, start=folder), Head(name=head, start=folder)))
    with (
        tempfile.TemporaryDirectory() as nothing,
        training(loaded, config, Path(nothing), total=1, run="scoring", resume=False) as stepper,
        stepper.generating() as engine,
    ):
        yield ScoreModel(loaded, folder, head, engine)


def both_scores(
    loaded: "Loaded", reward_model: Path, cost_model: Path, asked: "Sequence[tuple[Conversation, str]]"
) -> tuple["Floats", "Floats"]:
    """(n,) rewards and (n,) costs of replies to conversations, both models on the loaded one at once: images are seen
    once for both, and so are the blocks that neither changes. One that was trained on other weights is loaded beside it
    for the time being. Raises InputError for models that do not fit."""
    import tempfile

    from counterpoise.train import Head, Lora, TrainConfig, training

    from ._episodes import ask_models
    from ._scores import apart

    folders = {"reward": reward_model, "cost": cost_model}
    found = {}
    for name, folder in folders.items():
        if (model := apart(loaded, folder, name)) is not None:
            found[name] = model.scores(asked)
            model.engine.close()
    left = [name for name in folders if name not in found]
    groups = tuple(kind(name=name, start=folders[name]) for name in left for kind in (Lora, Head))
    if groups:
        with (
            tempfile.TemporaryDirectory() as nothing,
            training(loaded, TrainConfig(groups=groups), Path(nothing), total=1, run="scores", resume=False) as stepper,
        ):
            found |= ask_models(stepper, asked)
    return found["reward"], found["cost"]


# Policy


def _ppo_stage(
    loaded: "Loaded", config: SafeRLHFConfig, out: Path, pairs: "Pairs", resume: bool
) -> tuple[Artifact, dict[str, Any]]:
    """PPO-Lagrangian from the reward and the cost model of this run, or given ones."""
    from counterpoise.models import read_artifact
    from counterpoise.train import MEMORY_KNOBS, Lora, digest, training

    from ._ppo import Loop, roles
    from ._scores import apart

    models = {stage: _given(config, stage) or out / stage / "adapter" for stage in ("reward", "cost")}
    for stage, folder in models.items():
        if not (folder / "adapter_config.json").is_file():
            raise InputError(
                f"{folder}: no {stage} model there; run --stage {stage} first, or --set {stage}_model=FOLDER"
            )
    ppo, train = config.ppo, config.ppo.train
    actor = Lora(name="actor", rank=train.lora_rank, alpha=train.lora_alpha, layers_from=config.layers_from)
    rows = instructions(config, loaded, out)
    asks = pairs.asks()
    prints = [read_artifact(folder).fingerprint for folder in models.values()]
    kept = ppo.model_dump(exclude={"train": MEMORY_KNOBS, "connections": True})
    kept |= {"server": True} if ppo.server else {}  # whoever samples, not where
    run = digest([json.dumps(kept, sort_keys=True, default=str), config.layers_from, config.seed, loaded.fingerprint,
                  prints, [ask.prompt for ask in asks], rows])  # fmt: skip
    place, done = out / "ppo", out / "ppo" / "done.json"
    if not resume:
        for old in (done, place / "checkpoint" / "state.pt"):
            old.unlink(missing_ok=True)
    if done.is_file():
        value = read_json(done)
        if value["run"] != run:
            raise InputError(f"{place}: holds a training with other rows, settings or models; choose another --out")
        return read_artifact(place / "adapter"), value["result"]
    own = {name: model for name, folder in models.items() if (model := apart(loaded, folder, name)) is not None}
    shared = {name: folder for name, folder in models.items() if name not in own}
    plan = roles(shared.get("reward"), shared.get("cost"), actor, ppo)
    settings = train.model_copy(update={"seed": config.seed, "groups": plan})
    with training(loaded, settings, place, total=ppo.steps, run=run, resume=resume, keep_features=True) as stepper:
        last = Loop(stepper, ppo, asks, rows, config.seed, ppo.goal, own).run()
        artifact = stepper.artifact()
        found = {"steps": ppo.steps, "prompts": len(asks), "instructions": len(rows), "last": last,
                 "trunk": stepper.trainable.sharing,
                 "seconds": round(stepper.seconds, 3), "reward_model": prints[0], "cost_model": prints[1],
                 "separate": {name: model.loaded.name for name, model in own.items()}}  # fmt: skip
        if stepper.processes.main:
            write_json(done, {"run": run, "result": found})
            (place / "checkpoint" / "state.pt").unlink(missing_ok=True)
        stepper.processes.wait()
    return artifact, found


def instructions(config: SafeRLHFConfig, loaded: "Loaded", out: Path) -> list["Sample"]:
    """Rows of the PTX term; none unless they are asked for."""
    from functools import partial

    from .._answers import own_answers

    if not config.instructions and not config.n_instructions:
        return []
    with in_turn(out):
        own = partial(own_answers, loaded, journal=out / "data" / "answers.jsonl")
        made = partial(made_rows, "ordinary_instructions", config.n_instructions, fill=own)
        return list(rows_from(None, config.instructions, config.images, config.seed, "instructions", made).rows)
