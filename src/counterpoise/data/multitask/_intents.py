"""Intents: harmful requests with benign twins, from Twins or from the user's file, and their prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoise.base import InputError, read_csv, read_jsonl
from counterpoise.chat import Conversation, Image, Sample, Split, system, user
from counterpoise.data._pages import print_page
from counterpoise.data.twins import Family, families, sample

from ._formats import TaskFormat, TaskModality, in_format

COLUMNS = ("harmful", "benign")


@dataclass(frozen=True)
class Intent:
    """One harmful request and its benign twin."""

    id: str
    harmful: str
    benign: str
    group: str = ""
    split: Split = "test"
    printed: tuple[str, str] = ("", "")
    """What a print of the harmful and of the benign side shows; empty: the requests themselves."""
    family: Family | None = None
    """Of Twins, which has pictures too."""

    @property
    def modalities(self) -> tuple[TaskModality, ...]:
        """What it can be shown as."""
        return ("text", "print", "picture") if self.family else ("text", "print")


def intents(split: str = "test") -> list[Intent]:
    """The families of Twins of one split. Raises InputError for an unknown split."""
    if split not in ("train", "validation", "test"):
        raise InputError.unknown("split", split, ("train", "validation", "test"))
    return [
        Intent(
            each.id, each.harmful.text, each.benign.text, each.scenario, each.split,
            (each.harmful.phrase, each.benign.phrase), each,
        )
        for each in families(split)  # type: ignore[arg-type] # checked above
    ]  # fmt: skip


def training_intents() -> list[Intent]:
    """Train families of Twins, and the harmful and harmless phrases that the pocket's texts are made of, paired in the
    order of their lists. None of them is an intent of a test."""
    from counterpoise.data.pocket_sets import phrases

    known = {each.harmful.phrase for each in families("train")}
    bad_ones = [phrase for phrase in dict.fromkeys(phrases("harmful")) if phrase not in known]
    more = zip(bad_ones, phrases("lookalikes"), strict=False)
    made = [
        Intent(f"phrase-{number:04}", f"How do I {bad}?", f"How do I {good}?", "phrases", "train", (bad, good))
        for number, (bad, good) in enumerate(more)
    ]
    return [*intents("train"), *made]


def read_intents(file: Path) -> list[Intent]:
    """Intents of a CSV or JSON Lines file with the columns `harmful` and `benign`, and if there are any `id` and
    `group`.

    Raises InputError naming the row of an empty request, a repeated id or a side that is the other one, and for a file
    with fewer than two intents.
    """
    rows = read_jsonl(file) if file.suffix == ".jsonl" else read_csv(file, COLUMNS)
    found: dict[str, Intent] = {}
    for number, row in rows:
        texts = []
        for name in COLUMNS:
            value = row.get(name)
            if not isinstance(value, str) or not value.strip():
                raise InputError.at(file, "empty; expected a request", row=number, field=name)
            texts.append(value.strip())
        if texts[0].casefold() == texts[1].casefold():
            raise InputError.at(file, "the same as `harmful`; write a benign twin", row=number, field="benign")
        name = str(row.get("id") or number)
        if name in found:
            raise InputError.at(file, f"{name!r} occurs twice", row=number, field="id")
        found[name] = Intent(name, texts[0], texts[1], str(row.get("group") or ""), "all")
    if len(found) < 2:
        raise InputError(f"{file}: {len(found)} intents; give at least two")
    return list(found.values())


def render(
    intent: Intent,
    task: TaskFormat,
    modality: TaskModality,
    *,
    harmful: bool,
    system_prompt: str | None = None,
    wording: int = 0,
) -> Sample:
    """One side of an intent as a task in a modality: one user turn, behind a system turn where one is given.

    `group` is the task and `cluster` the intent, so that every format of one intent is paired. Raises InputError where
    the intent has no such modality, or its request does not fit on a page.
    """
    if modality not in intent.modalities:
        raise InputError(f"intent {intent.id}: has no {modality}; choose {', '.join(intent.modalities)}")
    side = "harmful" if harmful else "benign"
    request = intent.harmful if harmful else intent.benign
    images, shown = _images(intent, modality, harmful=harmful)
    if modality == "picture" and intent.family is not None:
        twin = intent.family.harmful if harmful else intent.family.benign
        request = twin.picture_text
    text = in_format(request, task, printed=modality == "print", wording=wording)
    turns: Conversation = (user(*images, text),)
    return Sample(
        id=f"{intent.id}-{side}-{task}-{modality}",
        messages=(system(system_prompt), *turns) if system_prompt else turns,
        harmful=harmful,
        modality=modality,
        split=intent.split,
        cluster=intent.id,
        group=task,
        meta={
            "shown": shown, "side": side, "text_twin": in_format(request, task, wording=wording),
            **({"family": intent.family.id} if intent.family else {}),
        },
    )  # fmt: skip


def _images(intent: Intent, modality: TaskModality, *, harmful: bool) -> tuple[Sequence[Image], tuple[str, ...]]:
    """The images of a side, and what they show."""
    if modality == "text":
        return (), ()
    if intent.family is not None:
        base = sample(intent.family, modality, harmful=harmful)
        return base.messages[0].images, tuple(base.meta["shown"])
    words = intent.printed[not harmful] or (intent.harmful if harmful else intent.benign)
    key = f"{intent.id}-print"  # both twins get one style, so that only the content differs
    try:
        return (Image.from_pil(print_page(words, style_seed=key), key),), (words,)
    except InputError as error:
        raise InputError(f"intent {intent.id}: {error}") from error
