"""SR_LLM (Raza et al., arXiv 2404.01399): a rewriter, unsafe or biased text in, the same said safely out.

The spec's steps in this file: `conversation` formats a pair (2), `align` fine-tunes on it (3, the answer alone by
default, the whole string as in the paper's script with `loss_on: all`), `rewrite_texts` generates, greedily (4).
Annotation (1) is data: see `counterpoise.data.read_rewrites` for its schema.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, Progress, sha256_file
from counterpoise.chat import Conversation, Sample, assistant, user
from counterpoise.data import Rewrite, RewriteRecord, read_rewrites
from counterpoise.evals import Journal
from counterpoise.train import TrainConfig

from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, draw_all, in_turn, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Answer, Engine, Loaded

INSTRUCTION = (
    "Rewrite the text so that it is polite and fair. Keep its meaning and facts. Take out insults, threats and "
    "generalisations about groups of people. Add nothing. If nothing is wrong with it, repeat it unchanged.\n\nText: "
)
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
"""Token limits of replies. A text gets the smallest that is 1.5 times its own tokens and 16 more, so that texts of
similar length share a batch."""
BLOCK = 32  # texts between two writes to the journal


class SRLLMConfig(BaseModel):
    """What to train a rewriter on. Defaults: the paper's script; without a quantisation back end LoRA runs in bf16."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rewrite_files: Files = ()
    """CSV, JSON Lines, JSON or Parquet files with unsafe_text, safe_text, severity (neutral, slightly, highly), and
    maybe dimension and aspect. None: the built-in set."""
    n_rows: int | None = Field(default=None, ge=1)
    """Rows that are drawn. Default: all."""
    loss_on: Literal["reply", "all"] = "reply"
    """reply: the rewrite alone carries loss. all: the whole string does, as in the paper's script, which also teaches
    to write the unsafe text."""
    seed: int = 0
    """Draw, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig(
        lora_rank=64, lora_alpha=16, lora_dropout=0.2, learning_rate=2e-4, schedule="constant", warmup_ratio=0.03,
        weight_decay=0.001, max_grad_norm=0.3, epochs=1, batch_size=4, max_length=512,
    )  # fmt: skip
    """Training settings; its seed is replaced by the one above. A row longer than max_length is left out, not cut."""


def prompt(text: str) -> Conversation:
    """What a rewriter is asked: the instruction and the text, never a reference."""
    return (user(INSTRUCTION + text),)


def conversation(row: Rewrite) -> Sample:
    """Step 2: a pair as a row to train on."""
    meta = {"source": row.source, "severity": row.severity}
    return Sample(row.id, (*prompt(row.unsafe_text), assistant(row.safe_text)), split="train", meta=meta)


def read_rows(config: SRLLMConfig) -> tuple[list[Rewrite], RewriteRecord, dict[str, object]]:
    """The rows of the files or of the built-in set, what was left out of them, and where they are from."""
    if not config.rewrite_files:
        from counterpoise.data.pocket_sets import rewrites

        rows = rewrites("train", config.seed)
        origin: dict[str, object] = {"from": "counterpoise.data.pocket_sets.rewrites", "seed": config.seed}
        return rows, RewriteRecord(rows=len(rows)), origin
    record, rows = RewriteRecord(), []
    for file in sorted(config.rewrite_files, key=lambda each: each.name):
        record.fields = {}
        rows += list(read_rewrites(file, record))
    hashes = {file.name: sha256_file(file) for file in config.rewrite_files}
    return rows, record, {"from": "files", "sha256": hashes}


def size(config: SRLLMConfig) -> Size:
    """Rows of one pair each; how many a file holds is not known before it is read."""
    return Size(config.n_rows or 336, 120, config.train.epochs)


@method(
    "sr-llm",
    title="Safe and responsible rewriting",
    paper="Raza et al., Developing Safe and Responsible Large Language Model, 2024, arXiv 2404.01399",
    source="https://github.com/shainarazavi/Safe-Responsible-LLM",
    licence="no licence file seen (nothing was copied)",
    config=SRLLMConfig,
    knobs=(Knob("amount", "rewriting rows", "rows", setting="n_rows", current=lambda c: c.n_rows or 336),),
    size=size,
)
def align(
    loaded: "Loaded",
    config: SRLLMConfig,
    out: Path,
    *,
    rows: Iterable[Rewrite] | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Fine-tune a chat model into a rewriter of rude, biased or threatening text, for `counterpoise rewrite`.

    It is no alignment of the model's own answers: used as a chat model it goes on rewriting. Neutral rows, whose
    target is the text itself, keep it from changing what is fine. Deleting words lowers toxicity as well: look at the
    meaning that is kept.

    Rows come from `rows` when given, else from the files that the config names, else from a built-in set. Writes
    `out/data/rewrites.jsonl`, `out/adapter/`, `out/run.json`; running again resumes or returns what is there. Raises
    InputError for anything the user can mend.
    """
    from counterpoise.train import SFT, Uncut, WholeText, fit

    started = time.monotonic()
    given = list(rows) if rows is not None else None
    found, record, origin = read_rows(config) if given is None else (
        given, RewriteRecord(rows=len(given)), dict[str, object]({"from": "caller"})
    )  # fmt: skip
    samples = [sample for sample in map(conversation, found) if overlaps is None or not overlaps(sample)]
    if not samples:
        raise InputError(f"sr-llm: no rows to train on; of the files were left out: {dataclasses.asdict(record)}")
    with in_turn(out):
        drawn = draw_all(samples, config.n_rows or len(set(map(_content, samples))), config.seed, "rewrites", "n_rows")
        mix, file = store_rows(out, "rewrites", drawn)
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    objective = SFT() if config.loss_on == "reply" else WholeText()
    result = fit(loaded, mix, Uncut(objective), train, out, resume=resume)
    left_out = {"rewrite_record": dataclasses.asdict(record)}
    return write_run(
        out,
        method="sr-llm",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"rows": origin, "n_rows": len(drawn), "rewrites": file} | left_out,
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )


def _content(sample: Sample) -> tuple[object, ...]:
    """Equal rows are drawn once."""
    return (sample.meta.get("source"), sample.id, *((message.role, message.text) for message in sample.messages))


def rewrite_texts(engine: "Engine", texts: Sequence[str], file: Path) -> Iterator[tuple[int, "Answer | None"]]:
    """Step 4: (place, reply) of every text, greedy, in batches of similar length. None: the text does not fit the model
    with a reply of its own length.

    Replies are in the journal `file` before they are given out: a stopped run generates none of them twice, and equal
    texts are asked once. Raises InputError when the journal cannot be written.
    """
    from counterpoise.models import Decoding

    loaded = engine.loaded
    journal = Journal(file, loaded.fingerprint)
    limits = {text: reply_limit(loaded, text) for text in dict.fromkeys(texts)}
    keys = {t: journal.key(Sample("", prompt(t)), f"rewrite {n}") for t, n in limits.items() if n is not None}
    todo = [text for text in keys if keys[text] not in journal]
    try:
        with Progress("rewrites", len(keys), done=len(keys) - len(todo)) as progress:
            for limit in LENGTHS:
                own = [text for text in todo if limits[text] == limit]
                for start in range(0, len(own), BLOCK):
                    block = own[start : start + BLOCK]
                    answers = engine.generate([prompt(t) for t in block], Decoding(limit), progress=progress)
                    for text, answer in zip(block, answers, strict=True):
                        journal.put_reply(keys[text], answer)
    finally:
        journal.close()
    for place, text in enumerate(texts):
        yield place, journal.reply(keys[text]) if text in keys else None


def reply_limit(loaded: "Loaded", text: str) -> int | None:
    """How many tokens a rewrite may have; None when text and reply do not fit the model's positions."""
    tokens = len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
    wanted = ceil(1.5 * tokens) + 16
    limit = next((each for each in LENGTHS if each >= wanted), None)
    return limit if limit is not None and tokens + limit + 128 <= (loaded.positions or 1 << 20) else None
