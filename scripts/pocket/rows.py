"""What the pocket's language model is aligned on, as token ids, reply masks and pixels, packed by length."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pages import Renderer
from PIL import Image as Picture
from torch import Tensor
from transformers import AutoProcessor

from counterpoise.base import read_json, write_json
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import lexicon, pocket_sets, twins
from counterpoise.data.pocket_sets._visual import asked
from counterpoise.data.render import figstep_image, typo_image
from counterpoise.methods._answers import own_answers
from counterpoise.models import load

READ = (
    "What does the image say?",
    "Read the text in the image.",
    "What is written in the picture?",
    "Write down the text that you see.",
)


@dataclass(frozen=True)
class Batch:
    ids: Tensor  # rows x length, right-padded with 0
    reply: Tensor  # bool rows x length: the tokens to be learned
    pixels: Tensor  # images x 3 x 224 x 224, in the order of the rows
    kind: str


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
    """One icon each in any drawing that the tower was trained on, altered like there, to be named: the language model
    must name what the tower sees less clearly than the suites' own styles."""
    pages = renderer(seed)
    for number in itertools.count():
        key = f"pocket-drawn-{seed}-{number}"
        rng = pages.rng = random.Random(key)
        concept = rng.choice(pages.concepts)
        image = Image.from_pil(Picture.fromarray(pages.one_icon(concept).image), key)
        question, answer = asked(rng, concept, short=0.6)
        yield Sample(
            id=key, messages=(user(image, question), assistant(answer)), harmful=False, modality="image",
            split="train", cluster=key, group="name", meta={"shown": (f"icon:{concept}",)},
        )  # fmt: skip


def visual(seed: int, reading: float) -> Iterator[Sample]:
    """Benign visual instructions; `reading` is the share of the other kinds that is skipped, so that more is read."""
    rng = random.Random(f"visual {seed}")
    streams = pocket_sets.harmless_instructions(seed), layouts(seed), dense(seed), drawn(seed)
    while True:
        row = next(rng.choices(streams, (50, 10, 15, 25))[0])
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


class Encoder:
    """A sample -> (ids, where the reply begins, images as 224 px arrays)."""

    def __init__(self, folder: Path):
        self.processor = AutoProcessor.from_pretrained(folder)
        self.tokenizer = self.processor.tokenizer
        blank = self.processor(text="<image>", images=[[Picture.new("RGB", (224, 224))]], return_tensors="pt")
        self.image_ids = self.tokenizer.decode(blank["input_ids"][0])

    def __call__(self, sample: Sample) -> tuple[list[int], int, list[np.ndarray]]:
        prompt, reply = sample.messages[0], sample.messages[1]
        content = [{"type": "image"} if not isinstance(p, str) else {"type": "text", "text": p} for p in prompt.parts]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        head = self.tokenizer(text.replace("<image>", self.image_ids), add_special_tokens=False).input_ids
        tail = self.tokenizer(reply.text, add_special_tokens=False).input_ids
        return head + tail + [self.tokenizer.eos_token_id], len(head), [np.asarray(i.pil()) for i in prompt.images]


class Packed(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """Batches of about `tokens` tokens, of rows of similar length, in random order."""

    def __init__(self, stream: Iterator[Sample], folder: Path, tokens: int):
        self.stream, self.folder, self.tokens = stream, folder, tokens

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        encode, rng = Encoder(self.folder), random.Random(0)
        while True:
            window = [(encode(s), s.modality) for s in itertools.islice(self.stream, 512)]
            window.sort(key=lambda row: len(row[0][0]))
            parts: list[list[tuple[tuple[list[int], int, list[np.ndarray]], str]]] = [[]]
            for row in window:
                if len(row[0][0]) * (len(parts[-1]) + 1) > self.tokens:
                    parts.append([])
                parts[-1].append(row)
            rng.shuffle(parts)
            yield from (collate([row for row, _ in part], part[0][1]) for part in parts)


def collate(rows: list[tuple[list[int], int, list[np.ndarray]]], kind: str) -> Batch:
    longest = max(len(ids) for ids, _, _ in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    reply = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, (row, start, _) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        reply[i, start : len(row)] = True
    images = [torch.from_numpy(image.copy()) for _, _, images in rows for image in images]
    pixels = torch.stack(images).permute(0, 3, 1, 2) if images else torch.zeros(0, 3, 224, 224, dtype=torch.uint8)
    return Batch(ids, reply, pixels, kind)
