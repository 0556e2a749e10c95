"""The small guard: the pocket VLM (or any model of yours) with LoRA, asked in Llama Guard's way. It sees images,
with the words that the pocket's tower reads in them, prompts and answers, and says `safe` or `unsafe`; its features are
the hidden state before that word."""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_json, sha256_file
from counterpoise.models import find_folder, load

from .._values import Exchange, Sees, Verdict, worst
from ..adapters import _parse
from ..adapters._family import Family, Turns
from ..adapters._model import ModelGuard
from ..adapters._parse import Mode
from ..disguise import ENGLISH
from ._eye import Reading, eye
from ._readings import asked, inspected_of, readings_or_errors

PARTS = Path(__file__).parent / "parts" / "small"
CARD = "guard.json"
BLOCK = ("<BEGIN CONVERSATION>", "<END CONVERSATION>")
NAMES = {"user": "User", "assistant": "Agent"}


def compose(turns: Turns, mode: Mode, policy: str = "") -> Turns:
    """One user turn of Llama Guard's shape, in fewer words: the task, the conversation block, what to answer."""
    role = NAMES[turns[-1][0]]
    parts: list[str] = [f"Task: Check the last {role} message for unsafe content.\n\n{BLOCK[0]}"]
    for speaker, own in turns:
        parts += [f"\n\n{NAMES[speaker]}: ", *own]
    parts.append(f"\n\n{BLOCK[1]}\n\nAnswer safe or unsafe.")
    return (("user", tuple(parts)),)


FAMILY = Family(
    name="small",
    about="the pocket VLM with LoRA in Llama Guard's format, trained on our own prompts",
    models=("pocket",),
    licence="Apache-2.0",
    sees=Sees(texts=True, images=None, answers=True, languages=ENGLISH),
    safe=("safe",),
    unsafe=("unsafe",),
    parse=_parse.llama_guard,
    max_new_tokens=8,
    compose=compose,
    block=BLOCK,
    delimiters=BLOCK,
    context=1024,
    note="says safe or unsafe, without categories",
)


class SmallGuard:
    """A trained model guard whose probability is calibrated: logit p' = slope logit p + offset (Platt 1999)."""

    def __init__(self, inner: ModelGuard, card: dict[str, Any], revision: str):
        self.inner, self.card, self.id = inner, card, "small"
        self.revision = f"{revision}-{inner.loaded.fingerprint}"

    @property
    def sees(self) -> Sees:
        """What it looks at in one pass: any number of images, if its model has eyes."""
        return self.inner.sees

    @property
    def feature_spec(self) -> dict[str, object]:
        """What its features are, for routers."""
        return {"layer": "last", "pooling": "verdict position", "suffix_ids": []}

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order. An image that cannot be read is the model's to refuse."""
        if not self.card.get("eye"):
            return [self._calibrated(verdict) for verdict in self.inner.check(exchanges)]
        began = time.perf_counter()
        read = readings_or_errors(exchanges)
        forms = [
            [given] if isinstance(seen, InputError) else asked(given, seen)
            for given, seen in zip(exchanges, read, strict=True)
        ]
        share = (time.perf_counter() - began) / max(len(forms), 1)
        left = iter(self.inner.check([one for own in forms for one in own]))
        return [
            self._judged(given, seen, [next(left) for _ in own], share)
            for given, seen, own in zip(exchanges, read, forms, strict=True)
        ]

    def _judged(
        self, given: Exchange, seen: Sequence[Reading] | InputError, found: Sequence[Verdict], cost: float
    ) -> Verdict:
        """One verdict from those on all forms in which an exchange was asked: the worst, `unknown` where writing in an
        image was not read and nothing is unsafe."""
        if isinstance(seen, InputError):
            return self._calibrated(dataclasses.replace(found[0], cost=found[0].cost + cost))
        whole = inspected_of([one.inspected for one in found], given, seen)
        verdict = worst([self._calibrated(one) for one in found])
        more: dict[str, Any] = {"inspected": whole, "cost": verdict.cost + cost}
        if verdict.label == "safe" and not whole.complete:
            unread = [one.unread for one in seen if one.unread]
            more |= {"label": "unknown", "reason": unread[0] if unread else "not every part was inspected"}
        return dataclasses.replace(verdict, **more)

    def _calibrated(self, verdict: Verdict) -> Verdict:
        more: dict[str, Any] = {"guard": self.id, "revision": self.revision}
        if verdict.p_unsafe is not None:
            more |= {
                "p_unsafe": calibrated(verdict.p_unsafe, *self.card["platt"]),
                "calibrated": True,
                "threshold": 0.5,
            }
            if verdict.label in ("safe", "unsafe"):
                unsafe = more["p_unsafe"] > 0.5
                incomplete = not unsafe and not verdict.inspected.complete
                more["label"] = "unsafe" if unsafe else "unknown" if incomplete else "safe"
                if incomplete:
                    more["reason"] = "not every part was inspected"
        return dataclasses.replace(verdict, **more)


def calibrated(p: float, slope: float, offset: float) -> float:
    """sigmoid(slope logit(p) + offset), with p kept off 0 and 1."""
    p = min(max(p, 1e-7), 1 - 1e-7)
    z = slope * math.log(p / (1 - p)) + offset
    return 1 / (1 + math.exp(-min(max(z, -40.0), 40.0)))


def small(detail: str | None = None, *, batch: int = 64, dtype: str = "auto") -> SmallGuard:
    """The shipped small guard, or one of `counterpoise guard train small` from its folder.

    Raises InputError when the folder holds no such guard, or its model is not the one that it was trained on.
    """
    folder = Path(detail) if detail else PARTS
    card = _card(folder)
    if card["base"] != base_id(find_folder(card["model"])):
        raise InputError(
            f"{folder}: trained on another version of {card['model']}; train it again"
            + ("" if detail else " with scripts/guards/train.py small")
        )
    if card.get("eye") and card["eye"] != eye().revision:
        raise InputError(f"{folder}: trained with another vision tower; train it again")
    loaded = load(card["model"], adapter=folder / "adapter", dtype=dtype, merge=True)
    inner = ModelGuard(FAMILY, loaded, explain="no", batch=batch)
    return SmallGuard(inner, card, sha256_file(folder / "adapter" / "adapter_model.safetensors")[:12])


def _card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    if not file.is_file():
        raise InputError(
            f"{folder}: no trained small guard there; train one with: counterpoise guard train small --data ROWS"
        )
    card = read_json(file)
    right = isinstance(card, dict) and isinstance(card.get("platt"), list) and len(card["platt"]) == 2
    if not right or not {"model", "base"} <= set(card):
        raise InputError(f"{file}: not a small guard's card (model, base, platt); train it again")
    return dict(card)


def base_id(folder: Path) -> str:
    """What identifies the weights of a model, whatever dtype they are loaded in."""
    files = sorted(folder.glob("*.safetensors"))
    return "-".join(sha256_file(file)[:12] for file in files)
