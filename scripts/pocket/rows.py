"""What the pocket's language model is aligned on: benign visual instructions, text requests, requests in images."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pages import Renderer
from PIL import Image as Picture

from counterpoise.base import read_json, write_json
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import lexicon, pocket_sets, twins
from counterpoise.data.pocket_sets import asked, named
from counterpoise.data.render import figstep_image, typo_image
from counterpoise.methods import own_answers
from counterpoise.models import load

READ = (
    "What does the image say?",
    "Read the text in the image.",
    "What is written in the picture?",
    "Write down the text that you see.",
)
LIST = (
    "List the objects in the picture, row by row.",
    "Name all things in the image, from the top left to the bottom right.",
    "Which objects are there? List them in reading order.",
)
HARD = (0, 1, 2, 2, 3)
"""How often an icon that the language model names is altered: more than on the tower's pages, so that tokens differ."""


def layouts(seed: int) -> Iterator[Sample]:
    """Random lexicon words in the two published layouts, to be read."""
    for number in itertools.count():
        key = f"pocket-layout-{seed}-{number}"
        rng = random.Random(key)
        words = [rng.choice(lexicon()) for _ in range(rng.randint(1, 7))]
        text = " ".join(words)
        page = figstep_image(f"{text.capitalize()}.") if rng.random() < 0.5 else typo_image(text.title())
        image = Image.from_pil(page.resize((224, 224), Picture.Resampling.LANCZOS), key)
        yield Sample(
            id=key, messages=(user(image, rng.choice(READ)), assistant(text)), harmful=False, modality="image",
            split="train", cluster=key, group="read", meta={"shown": (text,)},
        )  # fmt: skip


def renderer(seed: int) -> Renderer:
    return Renderer(list(lexicon()), {word: i for i, word in enumerate(lexicon(), 1)}, seed)


def dense(seed: int) -> Iterator[Sample]:
    """Pages of the tower's training with up to a dozen large words, to be read: many more words a row than the suites'
    phrases of one to three, every one of which has at least one image token of its own."""
    pages = renderer(seed)
    for number in itertools.count():
        key = f"pocket-dense-{seed}-{number}"
        pages.rng = random.Random(key)
        page = pages.text(pages.words_for(pages.rng.randint(3, 12)), pages.rng.randint(28, 42), spread=True)
        if len(set(page.word.flatten()) - {0}) < len(set(pages.printed)) or not pages.printed:
            continue
        text, image = " ".join(pages.printed), Image.from_pil(Picture.fromarray(page.image), key)
        yield Sample(
            id=key, messages=(user(image, pages.rng.choice(READ)), assistant(text)), harmful=False, modality="image",
            split="train", cluster=key, group="read", meta={"shown": (text,)},
        )  # fmt: skip


def drawn(seed: int) -> Iterator[Sample]:
    """One icon, or three or four, in any drawing that the tower was trained on, altered more than there, to be named:
    the language model must weigh tokens that point to different words, as they do in a style it never saw."""
    pages = renderer(seed)
    pages.rounds = HARD
    for number in itertools.count():
        key = f"pocket-drawn-{seed}-{number}"
        rng = pages.rng = random.Random(key)
        concepts = rng.sample(pages.concepts, rng.choice((1, 1, 3, 4)))
        image = Image.from_pil(Picture.fromarray(pages.few_icons(concepts).image), key)
        if len(concepts) == 1:
            question, answer = asked(rng, concepts[0], short=0.6)
        else:
            question, answer = rng.choice(LIST), ", ".join(named(concept) for concept in concepts)
        yield Sample(
            id=key, messages=(user(image, question), assistant(answer)), harmful=False, modality="image",
            split="train", cluster=key, group="name", meta={"shown": tuple(f"icon:{c}" for c in concepts)},
        )  # fmt: skip


def visual(seed: int, reading: float) -> Iterator[Sample]:
    """Benign visual instructions; `reading` is the share of the other kinds that is skipped, so that more is read."""
    rng = random.Random(f"visual {seed}")
    streams = pocket_sets.harmless_instructions(seed), layouts(seed), dense(seed), drawn(seed)
    while True:
        row = next(rng.choices(streams, (44, 8, 15, 33))[0])
        if row.group in ("read", "name") or rng.random() >= reading:
            yield row


def answered(base: Path, rows: list[Sample], file: Path) -> list[Sample]:
    """The rows with the model's own answers, kept in `file` by row: they do not depend on the tower."""
    known = read_json(file) if file.is_file() else {}
    left = [row for row in rows if row.id not in known and row.messages[-1].role == "user"]
    if left:
        said = {row.id: row.messages[-1].text for row in own_answers(load(str(base)), left)}
        known |= {row.id: said.get(row.id, "") for row in left}
        write_json(file, known)
    replies = ((row, known.get(row.id)) for row in rows)
    return [replace(row, messages=(*row.messages, assistant(said))) if said else row for row, said in replies
            if said or row.messages[-1].role == "assistant"]  # fmt: skip


def requests(base: Path, n_images: int, answers: Path) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """(harmful text with refusals, benign text, benign requests in images), the benign ones answered by the model."""
    harmful, benign = list(pocket_sets.harmful_requests()), list(pocket_sets.benign_requests())
    in_images = list(itertools.islice(pocket_sets.image_requests(), n_images))
    filled = answered(base, [*benign, *in_images], answers)
    held_out = [s for split in ("validation", "test") for s in twins.samples(split)]
    leaks = {leak.train for leak in twins.check_leakage([*harmful, *filled], held_out)}
    print(f"{len(harmful)} harmful, {len(filled)} answered by the model, {len(leaks)} leaks left out", flush=True)
    kept = [row for row in filled if row.id not in leaks]
    texts = [row for row in kept if row.modality == "text"]
    return [row for row in harmful if row.id not in leaks], texts, [row for row in kept if row.modality != "text"]


def mixed(kinds: list[tuple[float, list[Sample] | Iterator[Sample]]], seed: int) -> Iterator[Sample]:
    """An endless stream that draws from each kind by its weight; a list is shuffled anew whenever it has run out."""
    rng = random.Random(f"mix {seed}")

    def endless(rows: list[Sample] | Iterator[Sample]) -> Iterator[Sample]:
        while isinstance(rows, list):
            yield from rng.sample(rows, len(rows))
        yield from rows

    streams = [endless(rows) for _, rows in kinds]
    while True:
        yield next(rng.choices(streams, [weight for weight, _ in kinds])[0])
