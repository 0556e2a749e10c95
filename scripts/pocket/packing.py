"""Rows as token ids, reply masks and pixels, packed by length."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture
from torch import Tensor
from transformers import AutoProcessor

from counterpoise.chat import Sample


@dataclass(frozen=True)
class Batch:
    ids: Tensor  # rows x length, right-padded with 0
    reply: Tensor  # bool rows x length: the tokens to be learned
    pixels: Tensor  # images x 3 x 224 x 224, in the order of the rows
    kind: str


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
