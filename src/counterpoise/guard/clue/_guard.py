"""CLUE as a guard of exchanges: every image is judged; texts it does not read, so it stands beside a text guard."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image

from counterpoise.base import InputError
from counterpoise.chat import Image
from counterpoise.models import Engine, load
from counterpoise.models.pocket import version_of

from .._options import checked_options
from .._values import Exchange, Inspected, Sees, Verdict, unknown, worst
from ._ask import EngineAsker
from ._chain import Settings
from ._constants import load_calibration
from ._constitution import Constitution, load_constitution
from ._icons import icon_constitution
from ._judge import Clue
from ._owl import DEFAULT as OWL
from ._owl import OwlDetector
from ._regions import Detector
from ._scan import ClipEncoder, Encoder, Scan, scan_with
from ._values import ImageVerdict


class ClueGuard:
    """Verdicts by a constitution. An exchange with text is `unknown` unless an image is unsafe: it reads no text."""

    def __init__(self, clue: Clue):
        self.clue = clue
        self.id = f"clue:{clue.constitution.name}@{clue.asker.id}"
        self.sees = Sees(texts=False, images=None, answers=False)
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Load the detector and the encoder of the scan, which are loaded when they are first asked."""
        blank = Image.from_pil(PIL.Image.new("RGB", (64, 64), "white"))
        if self.clue.detector is not None:
            self.clue.detector.find(blank, ["paper"])
        if self.clue.scan is not None:
            self.clue.scan.encoder.similarity([blank], ["paper"])

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange: the worst of its images."""
        images = [image for x in exchanges for message in x.conversation for image in message.images]
        start = time.perf_counter()
        with self._lock:
            judged = iter(self.clue.judge(images))
        share = (time.perf_counter() - start) / max(len(images), 1)
        return [self._one(x, [next(judged) for _ in range(x.images)], share) for x in exchanges]

    def _one(self, exchange: Exchange, found: Sequence[ImageVerdict], seconds: float) -> Verdict:
        seen = sum(bool(verdict.findings or verdict.scan) for verdict in found)
        inspected = Inspected(0, exchange.texts, seen, exchange.images)
        # of equal labels the first stands: images that could not be judged say why, safe ones only what is missing
        order = sorted(found, key=lambda verdict: verdict.label == "safe")
        verdicts = [self._verdict(verdict, inspected, seconds) for verdict in order]
        if exchange.texts:
            text = unknown(self.id, exchange, "the guard does not read text", inspected=inspected)
            verdicts.insert(sum(verdict.label != "safe" for verdict in found), text)
        if not verdicts:
            return unknown(self.id, exchange, "nothing to look at")
        return worst(verdicts, inspected)

    def _verdict(self, found: ImageVerdict, inspected: Inspected, seconds: float) -> Verdict:
        label = found.label
        reason = found.reason or None
        if label == "safe" and not inspected.complete:
            label, reason = "unknown", reason or "other parts of the exchange were not inspected"
        rationale = explain(found) or None
        return Verdict(
            label,
            self.id,
            inspected,
            categories=found.violated,
            rationale=rationale,
            reason=reason,
            revision=self.clue.constitution.hash,
            template=self.clue.asker.prompts,
            cost=seconds,
        )


def explain(found: ImageVerdict) -> str:
    """One line: the decisive rule, and how each of its preconditions was decided."""
    rule = found.decisive
    if rule is None:
        return found.reason
    parts = [
        f"{evidence.text} ({evidence.answer}, {evidence.path or 'open'}{': ' if evidence.rationale else ''}"
        f"{evidence.rationale})"
        for group in rule.chain
        for evidence in group
        if evidence.path is not None or evidence.answer == "unknown"
    ]
    return f"{rule.rule}: {'; '.join(parts)}"


def make_clue(
    model: str = "pocket",
    constitution: Constitution | Path | str | None = None,
    *,
    encoder: str = "auto",
    threshold: float | None = None,
    detector: str = "auto",
    settings: Settings | None = None,
    constants: Path | str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    priors: Path | None = None,
    seconds: float | None = None,
    batched: bool = True,
    engine: Engine | None = None,
) -> Clue:
    """A judge from names.

    `encoder` and `detector`: a hub id or folder, `pocket` (the pocket's eye), `none`, or `auto`: the pocket's eye for
    pocket, else the paper's CLIP with its threshold, and OWLv2. With `auto`, an eye without a calibrated threshold
    scans nothing: every rule is judged. The wording is the constitution's for the model's type, the constants the
    paper's, unless `constants` is a file of `guard clue calibrate`, which has both. Raises InputError for a model
    without images, a constitution that is not ready, an encoder whose threshold is not known, and constants of another
    model.
    """
    if constitution is None:
        rules = icon_constitution()
    elif isinstance(constitution, Constitution):
        rules = constitution
    else:
        rules = load_constitution(Path(constitution))
    rules.check_ready(str(constitution) if isinstance(constitution, str | Path) else rules.name)
    engine = engine or Engine(load(model, dtype=dtype, device=device))
    if not engine.loaded.is_vlm:
        raise InputError(f"{model}: is a text-only model; the judge looks at images")
    wording = rules.wording_for(engine.loaded.model.config.model_type)
    asker = EngineAsker(engine, shared=batched, priors=priors, wording=wording)
    settings = settings or Settings()
    if constants is not None:
        found = load_calibration(Path(constants))
        if found.model.rpartition("@")[2] != engine.loaded.fingerprint:
            raise InputError(f"{constants}: made for {found.model}, this is {asker.id}; run guard clue calibrate again")
        asker, settings = asker.asking(found.wording), replace(settings, constants=found.constants)
    return Clue(
        asker,
        rules,
        make_detector(detector, model),
        make_scan(encoder, model, threshold),
        settings,
        batched,
        seconds,
    )


def make_detector(name: str, model: str) -> Detector | None:
    """A detector by name; see `make_clue`."""
    if name == "none":
        return None
    if name == "pocket" or (name == "auto" and version_of(model) is not None):
        from ._sight import PocketDetector

        return PocketDetector()
    return OwlDetector(OWL if name == "auto" else name)


def make_encoder(name: str, model: str) -> Encoder | None:
    """An encoder by name; see `make_clue`."""
    if name == "none":
        return None
    if name == "pocket" or (name == "auto" and version_of(model) is not None):
        from ._sight import PocketEncoder

        return PocketEncoder()
    return ClipEncoder("openai/clip-vit-base-patch16" if name == "auto" else name)


def make_scan(name: str, model: str, threshold: float | None = None) -> Scan | None:
    """A relevance scan by name; see `make_clue`. Raises InputError for a threshold that no cosine can have."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise InputError(f"threshold {threshold:g}: the relevance scan compares cosines; give one from -1 to 1")
    encoder = make_encoder(name, model)
    if encoder is None:
        return None
    if (
        name == "auto"
        and version_of(model) is not None
        and threshold is None
        and getattr(encoder, "threshold", None) is None
    ):
        return None
    return scan_with(encoder, threshold)


def make_guard(detail: str | None = None, *, model: str = "pocket", **options: Any) -> ClueGuard:
    """The guard `clue`, or `clue:FILE` with a constitution file; options as of `make_clue`."""
    return ClueGuard(make_clue(model, detail, **checked_options("clue", partial(make_clue, model, detail), options)))
