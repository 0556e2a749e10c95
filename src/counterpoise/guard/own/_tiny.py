"""The tiny guard: what a text says as a sentence embedding, what an image says as the words read in it, and a small
network on top. A few milliseconds on one CPU core; English; it knows topics and wordings, not the world."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterpoise.base import InputError
from counterpoise.chat import Image

from .._labelled import Labelled
from .._values import Exchange, Inspected, Sees, Verdict, unknown
from ._eye import Reading, eye
from ._features import LAYOUT, Rows, TooLong, features, images_of
from ._head import MODES, Head, fit_net, load_head
from ._minilm import minilm
from ._windows import unreadable

PART = Path(__file__).parent / "parts" / "tiny.safetensors"


class TinyGuard:
    """A guard from a trained head. Of a long text the worst window decides; what cannot be read is `unknown`."""

    sees = Sees(texts=True, images=None, answers=True)

    def __init__(self, head: Head):
        self.head, self.id = head, "tiny"

    @property
    def revision(self) -> str:
        """Hash of the trained file."""
        return self.head.revision

    @property
    def feature_spec(self) -> dict[str, object]:
        """What its features are, for routers."""
        return {"layer": "input", "pooling": "worst window", "suffix_ids": []}

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order; all texts of the call are embedded together."""
        began = time.perf_counter()
        reasons = [self._cannot(exchange) for exchange in exchanges]
        readings = _read([() if why else images_of(e) for e, why in zip(exchanges, reasons, strict=True)], reasons)
        rows = self._features(exchanges, readings, reasons)
        share = (time.perf_counter() - began) / max(len(exchanges), 1)
        return [
            unknown(self.id, exchange, reason, cost=share, revision=self.head.revision, template=LAYOUT)
            if reason is not None
            else self._verdict(exchange, rows[place], share)
            for place, (exchange, reason) in enumerate(zip(exchanges, reasons, strict=True))
        ]

    def _features(
        self, exchanges: Sequence[Exchange], readings: Sequence[Sequence[Reading]], reasons: list[str | None]
    ) -> dict[int, Rows]:
        """Features of the exchanges that can be looked at; one that is too long gets a reason instead."""
        good = [place for place, reason in enumerate(reasons) if reason is None]
        try:
            found = features([exchanges[p] for p in good], [readings[p] for p in good])
            return dict(zip(good, found, strict=True))
        except TooLong:
            pass
        rows = {}
        for place in good:  # one by one, so that only the long one is refused
            try:
                rows[place] = features([exchanges[place]], [readings[place]])[0]
            except TooLong as error:
                reasons[place] = str(error)
        return rows

    def _cannot(self, exchange: Exchange) -> str | None:
        mode = "prompt" if exchange.answer is None else "response"
        if mode not in self.head.nets:
            return f"trained for {', '.join(self.head.nets)} mode only"
        if exchange.texts + exchange.images == 0:
            return "nothing to look at"
        if exchange.images and (reason := self._blind()):
            return reason
        texts = [message.text for message in exchange.conversation] + [exchange.answer or ""]
        if any(unreadable(text, minilm()) for text in texts if text.strip()):
            return "most of a text is not in a script that the embedding knows"
        return None

    def _blind(self) -> str | None:
        """Why it cannot look at images."""
        wanted = self.head.card.get("eye")
        if wanted is None:
            return "trained without images"
        try:
            same = eye().revision == wanted
        except InputError as error:  # the pocket is not installed
            return str(error)
        return None if same else "trained with another vision tower; train it again with scripts/guards/train.py"

    def _verdict(self, exchange: Exchange, rows: Rows, cost: float) -> Verdict:
        net = self.head.nets["prompt" if exchange.answer is None else "response"]
        p = net(rows)
        worst = int(np.argmax(p))
        refusal = bool(rows[worst, -2] >= 0.5) if exchange.answer is not None else None
        return Verdict(
            "unsafe" if p[worst] > 0.5 else "safe",
            self.id,
            Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images),
            p_unsafe=float(p[worst]),
            refusal=refusal,
            rationale=f"worst of {len(rows)} windows" if len(rows) > 1 else None,
            calibrated=True,
            revision=self.head.revision,
            template=LAYOUT,
            cost=cost,
            features=rows[worst],
        )


def _read(images: Sequence[Sequence[Image]], reasons: list[str | None]) -> list[Sequence[Reading]]:
    """What the eye reads in all images together; when one cannot be decoded, that exchange gets a reason instead."""
    found: list[Sequence[Reading]] = [()] * len(images)
    try:
        every = [image for own in images for image in own]
        left = iter(eye().read(every) if every else ())
        return [[next(left) for _ in own] for own in images]
    except InputError:
        pass
    for place, own in enumerate(images):
        try:
            found[place] = eye().read(own) if own else ()
        except InputError as error:
            reasons[place] = str(error)
    return found


def tiny(detail: str | None = None) -> TinyGuard:
    """The shipped tiny guard, or one of `counterpoise guard train tiny` from its folder."""
    file = Path(detail) / "tiny.safetensors" if detail else PART
    guard = TinyGuard(load_head(file))
    minilm()  # loaded now: the first request must not wait, and a missing package is said at once
    return guard


def train_tiny(rows: Sequence[Labelled], out: Path, *, trained_on: str, seed: int = 0) -> TinyGuard:
    """Train on labelled rows and write `out/tiny.safetensors`. A mode without rows is left out and answers `unknown`.

    Raises InputError when there are too few rows of a label, or an image cannot be read.
    """
    from ._batches import features_of

    found, groups = features_of(rows), [row.group for row in rows]
    nets = {}
    for mode in MODES:
        places = [n for n, row in enumerate(rows) if row.mode == mode]
        if not places:
            continue
        try:
            nets[mode] = fit_net(
                [found[n] for n in places], [rows[n].unsafe for n in places], [groups[n] for n in places], seed=seed
            )
        except InputError as error:
            raise InputError(f"{mode} mode: {error}") from error
    images = any(row.exchange.images for row in rows)
    card = {"eye": eye().revision if images else None, "trained_on": trained_on, "rows": len(rows), "seed": seed}
    return TinyGuard(Head(nets, card).save(out / "tiny.safetensors"))
