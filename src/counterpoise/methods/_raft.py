"""RAFT, reward-ranked fine-tuning (Dong et al. 2023, arXiv 2304.06767), the second arm of "Safe to Serve".

The spec's steps in this file, once per iteration: `sample` draws K answers to each prompt from the model as it is now
(1), `rank` keeps the best one (2), and `counterpoise.train.Rounds` fine-tunes on the kept pairs (3) and goes on with
the weights that came of it (4). Every answer is in a journal before it is used, so that none is drawn twice.
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import (
    InputError,
    Progress,
    launched_rank,
    notice,
    read_json,
    sha256_bytes,
    sha256_file,
    write_json,
)
from counterpoise.chat import Sample, assistant
from counterpoise.data import PromptStyle, read_prompts, shuffled
from counterpoise.evals import Journal
from counterpoise.train import MEMORY_KNOBS, TrainConfig

from ._answers import whole_sentences
from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._rewards import Reward, acceptance, make_reward
from ._sit import SERVE_TRAIN
from ._sources import Files, Overlaps, Rows, Source, check_images, draw_all, in_turn, made_rows, rows_from

if TYPE_CHECKING:
    from counterpoise.models import Answer, Engine, Loaded

BLOCK = 64  # answers between two writes to the journal


class RAFTConfig(BaseModel):
    """Prompts, sampling, reward and training. Our defaults: the paper's values are unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    harmful_files: Files = ()
    """Instruction files whose prompts should be refused; answers in them are not used. None: built-in requests."""
    harmless_files: Files = ()
    """Instruction or LLaVA/ShareGPT files whose prompts should be answered. None: built-in requests."""
    images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    prompt: PromptStyle = "chat"
    """How rows of instruction files are put: as the user's text, or inside Alpaca's frame. Results differ."""
    n_harmful: int = Field(default=100, ge=0)
    """Prompts that should be refused."""
    n_harmless: int = Field(default=100, ge=0)
    """Prompts that should be answered."""
    samples: int = Field(default=8, ge=1)
    """Answers a prompt (K). With 1 it is self-training."""
    iterations: int = Field(default=3, ge=1)
    """Rounds of sampling and training (I)."""
    temperature: float = Field(default=1.0, ge=0.7)
    """Of the samples; below 0.7 they are too much alike to rank."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Length of a sample; one that is cut there ends at its last whole sentence."""
    reward: str = "rule"
    """rule, model:FOLDER or judge:NAME@MODEL; see docs/safe-to-serve.md."""
    cost_model: str | None = None
    """Folder of a cost model beside a reward model: r = R - w max(C, 0)."""
    cost_weight: float = Field(default=1.0, ge=0)
    """w."""
    floor: float | None = None
    """Prompts whose best reward is below this are left out of the round."""
    drop_ties: bool = False
    """Leave out prompts whose rewards are all equal: nothing was ranked."""
    seed: int = 0
    """Draws, samples, ties, order of rows, LoRA initialisation."""
    train: TrainConfig = SERVE_TRAIN.model_copy(update={"epochs": 1.0})
    """Training settings; epochs are passes over the kept pairs of each round, with one schedule for all rounds."""


class Kept(NamedTuple):
    """What a round made of one prompt: the row to train on, or None, and the rewards of its samples."""

    row: Sample | None
    rewards: list[float]
    text: str


def rank(
    prompt: Sample, answers: Sequence["Answer"], rewards: Sequence[float | None], config: RAFTConfig, round_: int
) -> Kept:
    """Step 2: the answer with the largest reward, ties broken by the seed; none below the floor, and (if so set) none
    where all rewards are equal. Answers without a reward are never kept."""
    scored = [(reward, answer) for reward, answer in zip(rewards, answers, strict=True) if reward is not None]
    values = [reward for reward, _ in scored]
    best = max(values, default=None)
    tied = len(set(values)) == 1 and len(values) > 1
    if best is None or (config.floor is not None and best < config.floor) or (config.drop_ties and tied):
        return Kept(None, values, "")
    texts = [said for reward, answer in scored if reward == best and (said := ended(answer))]
    if not texts:
        return Kept(None, values, "")
    text = Random(f"{config.seed} {round_} {prompt.id}").choice(texts)
    return Kept(dataclasses.replace(prompt, messages=(*prompt.messages, assistant(text))), values, text)


def ended(answer: "Answer") -> str:
    """The text of a sample; one that hit the length limit up to its last whole sentence."""
    return whole_sentences(answer.text) if answer.finish == "length" else answer.text.strip()


@dataclass
class Ranked:
    """Steps 1 and 2 of every round, for `counterpoise.train.Rounds`, which then does 3 and 4."""

    prompts: list[Sample]
    config: RAFTConfig
    reward: Reward
    out: Path
    identity: str
    """Of all that decides the samples: model, prompts, settings."""
    seconds: float = 0.0
    """That this process spent on sampling: part of the training's seconds, reported apart."""

    def make(self, engine: "Engine", round_: int, mine: Sequence[int]) -> dict[int, Sample]:
        """The rows that a round trains on, by the place of their prompt."""
        began = time.monotonic()
        answers = self.sample(engine, round_, mine)
        self.seconds += time.monotonic() - began
        kept = self.ranked(answers, round_, mine)
        rows = {place: each.row for place, each in kept.items() if each.row is not None}
        if mine and not rows:
            raise InputError(
                f"raft: round {round_ + 1} kept no answer of {len(mine)} prompts; lower floor, set drop_ties to false, "
                "or look at out/rounds/ for samples without a reward"
            )
        return rows

    def sample(self, engine: "Engine", round_: int, mine: Sequence[int]) -> dict[int, list["Answer"]]:
        """Step 1: K answers to each prompt. Sample k of a round has a seed of its own; what the journal holds is not
        drawn again."""
        from counterpoise.models import Decoding

        config = self.config
        journal = Journal(self.out / "data" / f"samples-{launched_rank()}.jsonl", f"{self.identity} round {round_}")
        keys = {(p, k): journal.key(self.prompts[p], f"{p} sample {k}") for p in mine for k in range(config.samples)}
        total = len(keys)
        missing = sum(key not in journal for key in keys.values())
        try:
            with Progress(f"samples of round {round_ + 1} of {config.iterations}", total, done=total - missing) as bar:
                for k in range(config.samples):
                    todo = [p for p in mine if keys[p, k] not in journal]
                    seed = int(sha256_bytes(f"{config.seed} {round_} {k}".encode())[:12], 16)
                    decoding = Decoding(config.max_new_tokens, config.temperature, seed=seed)
                    for start in range(0, len(todo), BLOCK):
                        block = todo[start : start + BLOCK]
                        asked = [self.prompts[p].messages for p in block]
                        for p, answer in zip(block, engine.generate(asked, decoding, progress=bar), strict=True):
                            journal.put_reply(keys[p, k], answer)
        finally:
            journal.close()
        found = {p: [journal.reply(keys[p, k]) for k in range(config.samples)] for p in mine}
        return {p: [answer for answer in answers if answer is not None] for p, answers in found.items()}

    def ranked(self, answers: dict[int, list["Answer"]], round_: int, mine: Sequence[int]) -> dict[int, Kept]:
        """Step 2 for every prompt, with the round's numbers in `out/rounds/`."""
        flat = [(p, answer) for p in mine for answer in answers[p]]
        rewards = iter(self.reward([self.prompts[p] for p, _ in flat], [answer for _, answer in flat]))
        kept = {}
        for p in mine:
            own = [next(rewards) for _ in answers[p]]
            kept[p] = rank(self.prompts[p], answers[p], own, self.config, round_)
        process = launched_rank()
        name = f"{round_ + 1}-process-{process}.json" if process else f"{round_ + 1}.json"
        rewards_of = {p: each.rewards for p, each in kept.items()}
        texts = {p: each.text for p, each in kept.items() if each.row is not None}
        found = acceptance({p: self.prompts[p] for p in kept}, rewards_of, texts, self.config.samples)
        write_json(self.out / "rounds" / name, {"round": round_ + 1} | found)
        return kept


def draw_prompts(
    loaded: "Loaded", config: RAFTConfig, given: Source | None, overlaps: Overlaps | None
) -> tuple[list[Sample], dict[str, Any]]:
    """The prompts of both sides, and where they came from."""
    if given is not None:
        rows = list(rows_from(given, (), None, config.seed, "prompt", lambda _: Rows([], {})).rows)
        return [row for row in rows if overlaps is None or not overlaps(row)], {"from": "caller"}
    benign = "image_requests" if loaded.is_vlm else "benign_requests"
    found: list[Sample] = []
    origin: dict[str, Any] = {}
    for side, files, n, name in (
        ("harmful", config.harmful_files, config.n_harmful, "harmful_requests"),
        ("harmless", config.harmless_files, config.n_harmless, benign),
    ):
        made = _of_files(files, config) if files else made_rows(name, n, config.seed)
        asked = (_asked(row, side == "harmful") for row in made.rows)
        kept = (row for row in asked if not (overlaps and overlaps(row)))
        found += draw_all(kept, n, config.seed, side, f"n_{side}") if n else []
        origin[side] = made.origin
    return shuffled(found, seed=config.seed), origin


def _of_files(files: Files, config: RAFTConfig) -> Rows:
    hashes = {file.name: sha256_file(file) for file in files if file.is_file()}
    rows = (row for file in files for row in read_prompts(file, config.images, style=config.prompt))
    return Rows(rows, {"from": "files", "sha256": hashes})


def _asked(row: Sample, harmful: bool) -> Sample:
    messages = row.messages[:-1] if row.messages[-1].role == "assistant" else row.messages
    return dataclasses.replace(row, messages=messages, harmful=harmful)


def size(config: RAFTConfig) -> Size:
    """Prompts are rows, passed once a round and epoch; all samples are written."""
    n = config.n_harmful + config.n_harmless
    written = n * config.samples * config.iterations * config.max_new_tokens
    return Size(n, 60 + config.max_new_tokens, config.train.epochs * config.iterations, written)


@method(
    "raft",
    title="Reward-ranked fine-tuning",
    paper="Amballa et al., Safe to Serve: Aligning Instruction-Tuned Models for Safety and Helpfulness, 2024, arXiv "
    "2412.00074; Dong et al., RAFT, TMLR 2023, arXiv 2304.06767",
    source="none was released",
    licence="none (written from the papers)",
    config=RAFTConfig,
    knobs=(
        Knob("samples", "samples a prompt", "rows", grid=(1, 2, 4, 8, 16)),
        Knob(
            "amount",
            "prompts",
            "rows",
            current=lambda c: c.n_harmful + c.n_harmless,
            setting=lambda rows: {"n_harmful": int(rows) // 2, "n_harmless": int(rows) - int(rows) // 2},
        ),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: RAFTConfig,
    out: Path,
    *,
    prompts: Source | None = None,
    reward: Reward | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Sample several answers to each prompt, keep the one with the largest reward, fine-tune on it, and repeat.

    It can only amplify what the model sometimes does already. A reward for harmlessness alone ends in refusing
    everything, one for helpfulness alone in complying with everything: use prompts of both kinds and look at both sides
    of `out/rounds/`.

    Prompts come from `prompts` when given, else from the files that the config names, else from built-in sets. Writes
    `out/data/samples-0.jsonl`, `out/rounds/`, `out/adapter/`, `out/run.json`; running again resumes, and draws no
    sample twice. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import SFT, Rounds, Uncut, digest, fit

    config = config.model_copy(update={"train": config.train.model_copy(update={"seed": config.seed})})
    file = out / "data" / f"verdicts-{launched_rank()}.jsonl"
    score = reward or make_reward(config.reward, cost=config.cost_model, cost_weight=config.cost_weight, journal=file)
    with in_turn(out):
        rows, origin = draw_prompts(loaded, config, prompts, overlaps)
        if not rows:
            raise InputError("raft: no prompts; n_harmful and n_harmless are both 0")
        check_images(rows)
    if not score.sees_images and any(message.images for row in rows for message in row.messages):
        notice(f"raft: the reward {score.id} does not see the images of the prompts")
    settings = config.model_dump(mode="json", exclude={"train": MEMORY_KNOBS})
    identity = digest((loaded.fingerprint, settings, score.id, rows, [row.harmful for row in rows]))
    if not resume:
        for file in (out / "data").glob("samples-*.jsonl"):
            file.unlink()
    ranked = Ranked(rows, config, score, out, identity)
    plan = Rounds(ranked.make, len(rows), config.iterations, config.train, identity)
    result = fit(loaded, plan, Uncut(SFT()), config.train, out, resume=resume)
    return write_run(
        out,
        method="raft",
        loaded=loaded,
        config=config,
        artifact=result.artifact,
        data={"prompts": origin, "n_prompts": len(rows), "reward": score.id, "reward_sees_images": score.sees_images}
        | {"rounds": [read_json(out / "rounds" / f"{number + 1}.json") for number in range(config.iterations)]},
        train=dataclasses.asdict(result),
        timings={"sample": ranked.seconds, "train": max(0.0, result.seconds - ranked.seconds)},
    )
