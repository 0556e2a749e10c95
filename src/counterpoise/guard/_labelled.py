"""Exchanges with a known answer: what guards are trained on, routers learn from, and rates are measured on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, read_csv, read_jsonl
from counterpoise.chat import Conversation, Image, Part, Sample, user
from counterpoise.evals import PROBLEMS, in_parts

from ._values import Exchange

UNSAFE = dict.fromkeys(("unsafe", "harmful", "1", "true", "yes"), True) | dict.fromkeys(
    ("safe", "harmless", "unharmful", "0", "false", "no"), False
)
NAMES = ("id", "prompt", "image", "images", "answer", "label", "group", "modality", "category")


@dataclass(frozen=True)
class Labelled:
    """One exchange, and whether a guard should call it unsafe."""

    id: str
    exchange: Exchange
    unsafe: bool
    group: str
    """Rows of one cause (a family, a prompt and its answers, paraphrases): never on both sides of a split."""
    modality: str = "text"
    meta: Mapping[str, Any] = field(default_factory=dict)
    category: str = ""
    """What it is about (health, money), for rates by category; empty where nobody said."""

    @property
    def mode(self) -> str:
        """`prompt`, or `response` when there is an answer."""
        return "prompt" if self.exchange.answer is None else "response"

    def as_sample(self) -> Sample:
        """As the leakage check wants it: the answer is part of the text."""
        messages: Conversation = self.exchange.conversation
        if self.exchange.answer:
            messages = (*messages, user(self.exchange.answer))
        return Sample(self.id, messages, harmful=self.unsafe, cluster=self.group, meta=self.meta)


def counted(rows: Sequence[Labelled]) -> str:
    """How many rows of each mode and label: `prompts: 30 safe, 12 unsafe; answers: 5 safe, 9 unsafe`."""
    told = []
    for mode, name in (("prompt", "prompts"), ("response", "answers")):
        own = [row.unsafe for row in rows if row.mode == mode]
        if own:
            told.append(f"{name}: {len(own) - sum(own)} safe, {sum(own)} unsafe")
    return "; ".join(told) or "no rows"


def from_sample(sample: Sample) -> Labelled:
    """An evaluation sample in prompt mode. Raises InputError when it does not say whether it is harmful."""
    if sample.harmful is None:
        raise InputError(f"{sample.id}: has no harmful flag, so a guard cannot be measured on it")
    return Labelled(
        sample.id, Exchange(sample.messages), sample.harmful, sample.cluster or sample.id, sample.modality, sample.meta,
        sample.group,
    )  # fmt: skip


def read_labelled(path: Path, image_root: Path | None = None) -> list[Labelled]:
    """Rows of a JSONL or CSV file: `prompt`, `label` (safe or unsafe), and optionally `answer`, `image` or `images`
    (a list, or paths separated by ; in CSV), `id`, `group`, `modality` and `category`. Thoughts in an answer are left
    out.

    Image paths are relative to `image_root` (default: the file's folder) and must stay inside it. Without `group`, rows
    with the same prompt form one. Raises InputError with file, row and field for the first wrong row, and when one of
    the two labels does not occur.
    """
    root = (image_root or path.parent).resolve()
    rows: list[Labelled] = []
    seen: set[str] = set()
    for number, value in _records(path):
        row = _row(value, path, number, root)
        if row.id in seen:
            raise InputError.at(path, f"{row.id!r} occurs twice; ids must be unique", row=number, field="id")
        seen.add(row.id)
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: no rows; expected prompt and label")
    sides = {row.unsafe for row in rows}
    if len(sides) == 1:
        raise InputError(f"{path}: both labels are needed, found {counted(rows)}")
    return rows


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    if path.suffix != ".csv":
        raise InputError(f"{path}: give a .jsonl or .csv file")
    for number, row in read_csv(path):
        yield number, {name: value for name, value in row.items() if value}


def _row(value: dict[str, Any], path: Path, number: int, root: Path) -> Labelled:
    for name in sorted(set(value) - set(NAMES)):
        raise InputError.at(path, f"unknown field; known: {', '.join(NAMES)}", row=number, field=name)
    for name in ("prompt", "answer"):
        if value.get(name) is not None and not isinstance(value[name], str):
            raise InputError.at(path, "expected text", row=number, field=name)
    label = str(value.get("label", "")).strip().lower()
    if label not in UNSAFE:
        raise InputError.at(path, f"{label or 'missing'}; write safe or unsafe", row=number, field="label")
    images = [_image(name, path, number, root) for name in _names(value, path, number)]
    prompt = str(value.get("prompt") or "")
    if not prompt.strip() and not images:
        raise InputError.at(path, "empty, and there is no image", row=number, field="prompt")
    parts: tuple[Part, ...] = (*images, prompt) if prompt.strip() else tuple(images)
    exchange = Exchange((user(*parts),), _answer(value.get("answer"), path, number))
    group = str(value.get("group") or "") or " ".join([prompt, *(image.source for image in images)])
    modality = str(value.get("modality") or ("image" if images else "text"))
    category = str(value.get("category") or "")
    return Labelled(str(value.get("id") or f"row{number}"), exchange, UNSAFE[label], group, modality, category=category)


def _answer(value: str | None, path: Path, number: int) -> str | None:
    """The text of an answer, without its thought."""
    if value is None or not value.strip():
        return value
    reply = in_parts(value)
    if reply.problem is not None:
        raise InputError.at(path, f"{PROBLEMS[reply.problem]}; leave the row out", row=number, field="answer")
    return reply.text


def _names(value: dict[str, Any], path: Path, number: int) -> list[str]:
    found = value.get("images", value.get("image"))
    if found is None:
        return []
    names = [part.strip() for part in found.split(";") if part.strip()] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError.at(path, "expected a path or a list of paths", row=number, field="images")
    return names


def _image(name: str, path: Path, number: int, root: Path) -> Image:
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise InputError.at(path, f"{name!r} leads out of {root}", row=number, field="images")
    try:
        image = Image.from_path(file)
        image.pil()  # now, rather than in the middle of a training
    except InputError as error:
        raise InputError.at(path, str(error), row=number, field="images") from error
    return image


def grouped_split(
    groups: Sequence[str], hard: NDArray[np.bool_], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows to train on, rows held out), groups kept whole: a prompt, its answer and its paraphrases are never on both
    sides. Stratified: `share` of the groups that hold a hard row, and of the others.

    Raises InputError when there are fewer than two groups of rows.
    """
    names, code = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"split: {len(names)} group(s) of rows; at least 2 are needed to hold some out")
    any_hard = np.zeros(len(names), bool)
    np.logical_or.at(any_hard, code, hard)
    random, out = np.random.default_rng(seed), np.zeros(len(names), bool)
    for kind in (True, False):
        members = np.flatnonzero(any_hard == kind)
        count = round(share * len(members))
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        out[random.permutation(members)[:count]] = True
    held = out[code]
    return np.flatnonzero(~held), np.flatnonzero(held)


def keep_apart(trained: Iterable[Labelled], others: Iterable[Labelled], where: str) -> None:
    """Raises InputError for a group that is on both sides; `where` says what the others are for."""
    if shared := {row.group for row in trained} & {row.group for row in others}:
        raise InputError(f"{where}: group {min(shared)!r} is also trained on; keep groups apart")
