"""The tiny guard: what a text says as a sentence embedding, what an image says as the words read in it, and a small
network on top. A few milliseconds on one CPU core; English; it knows topics and wordings, not the world."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from counterpoise.base import InputError
from counterpoise.chat import Image, user

from .._values import Exchange, Inspected, Sees, Verdict, unknown
from ..disguise import ENGLISH
from ._eye import Reading, eye
from ._features import LAYOUT, Rows, TooLong, features, sentence_features
from ._head import Head, Net, load_head
from ._minilm import minilm
from ._readings import readings_or_errors
from ._windows import in_pieces, plain, unreadable

PART = Path(__file__).parent / "parts" / "tiny.safetensors"


class TinyGuard:
    """A guard from a trained head. Of a long text the worst window decides; what cannot be read is `unknown`."""

    sees = Sees(texts=True, images=None, answers=True, languages=ENGLISH)

    def __init__(self, head: Head):
        self.head, self.id = head, "tiny"

    @property
    def revision(self) -> str:
        """Hash of the trained file."""
        return self.head.revision

    @property
    def feature_spec(self) -> dict[str, object]:
        """What its features are, for routers."""
        return {"layer": "head", "pooling": "worst window", "suffix_ids": []}

    def prepare(self) -> None:
        """Load the eye and what tells refusals, and look once, so that no exchange has to wait. Without an eye (or with
        another one) images are `unknown` as before."""
        blank = Image.from_pil(PIL.Image.new("RGB", (224, 224), "white"))
        self.check([Exchange((user(blank, "Hello."),)), Exchange((user("Hello."),), "Hello.")])

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order; all images are read and all texts embedded together."""
        began = time.perf_counter()
        reasons = [self._cannot(exchange) for exchange in exchanges]
        good = [place for place, reason in enumerate(reasons) if reason is None]
        rows: dict[int, Rows] = {}
        seen: dict[int, Sequence[Reading]] = {}
        nets = [self._net(exchanges[place]) for place in good]
        for place, (read, found) in zip(good, _features([exchanges[place] for place in good], nets), strict=True):
            if isinstance(found, str):
                reasons[place] = found
            else:
                rows[place], seen[place] = found, read
        unread = {place: [one.unread for one in read if one.unread] for place, read in seen.items()}
        calm = [place for place in rows if self._net(exchanges[place])(rows[place]).max() <= 0.5]
        single = self._sentences({place: exchanges[place] for place in calm}, seen)
        share = (time.perf_counter() - began) / max(len(exchanges), 1)
        return [
            unknown(self.id, exchange, reason, cost=share, revision=self.head.revision, template=LAYOUT)
            if reason is not None
            else seen_whole(self._verdict(exchange, rows[place], single.get(place), share), unread[place])
            for place, (exchange, reason) in enumerate(zip(exchanges, reasons, strict=True))
        ]

    def _net(self, exchange: Exchange) -> Net:
        return self.head.nets["prompt" if exchange.answer is None else "response"]

    def _sentences(self, exchanges: Mapping[int, Exchange], seen: Mapping[int, Sequence[Reading]]) -> dict[int, Rows]:
        """Sentences of the exchanges whose windows look safe; those of the others could not change the verdict."""
        found = sentence_features(list(exchanges.values()), [seen[place] for place in exchanges])
        return {place: own for place, own in zip(exchanges, found, strict=True) if len(own)}

    def unread(self, text: str) -> str | None:
        """Why the embedding cannot read a text, or None: a passage in pieces of words that it does not know."""
        return "a passage of words that the embedding does not know" if in_pieces(text, minilm()) else None

    def pieces(self, text: str) -> int:
        """Word pieces of a text."""
        return len(minilm().tokens(plain(text))[0])

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

    def _verdict(self, exchange: Exchange, rows: Rows, single: Rows | None, cost: float) -> Verdict:
        net = self._net(exchange)
        p = net(rows)
        told = f"worst of {len(rows)} windows" if len(rows) > 1 else None
        if single is not None:
            told = f"worst of {len(rows)} windows and {len(single)} sentences"
            rows, p = np.concatenate([rows, single]), np.concatenate([p, net(single)])
        worst = int(np.argmax(p))
        refusal = bool(rows[worst, -2] >= 0.5) if exchange.answer is not None else None
        return Verdict(
            "unsafe" if p[worst] > 0.5 else "safe",
            self.id,
            Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images),
            p_unsafe=float(p[worst]),
            threshold=0.5,
            refusal=refusal,
            rationale=told,
            calibrated=True,
            revision=self.head.revision,
            template=LAYOUT,
            cost=cost,
            features=net.state(rows[worst : worst + 1])[0],
        )


def seen_whole(verdict: Verdict, unread: Sequence[str]) -> Verdict:
    """The verdict, where an image holds what may be writing and was not read: then it is `unsafe` or `unknown`."""
    if not unread:
        return verdict
    inspected = replace(verdict.inspected, images=verdict.inspected.images - len(unread))
    if verdict.label == "unsafe":
        return replace(verdict, inspected=inspected)
    return replace(verdict, label="unknown", reason=unread[0], inspected=inspected)


def _features(exchanges: Sequence[Exchange], nets: Sequence[Net]) -> list[tuple[Sequence[Reading], Rows | str]]:
    """What the eye read and the features of each exchange, or why there are none: an image cannot be decoded, or a text
    is too long."""
    seen = readings_or_errors(exchanges)
    found: list[tuple[Sequence[Reading], Rows | str]] = [
        ((), str(each)) if isinstance(each, InputError) else (each, "") for each in seen
    ]
    read = {place: each for place, each in enumerate(seen) if not isinstance(each, InputError)}
    rows: Sequence[Rows | str]
    try:
        rows = features([exchanges[n] for n in read], list(read.values()), [nets[n].__call__ for n in read])
    except TooLong:
        rows = [_alone(exchanges[n], each, nets[n]) for n, each in read.items()]
    for place, own in zip(read, rows, strict=True):
        found[place] = (read[place], own)
    return found


def _alone(exchange: Exchange, seen: Sequence[Reading], net: Net) -> Rows | str:
    """Features of one exchange, so that a long text in a batch is refused by itself."""
    try:
        return features([exchange], [seen], [net.__call__])[0]
    except TooLong as error:
        return str(error)


def tiny(detail: str | None = None) -> TinyGuard:
    """The shipped tiny guard, or one of `counterpoise guard train tiny` from its folder."""
    file = Path(detail) / "tiny.safetensors" if detail else PART
    guard = TinyGuard(load_head(file))
    minilm()  # loaded now: the first request must not wait, and a missing package is said at once
    return guard
