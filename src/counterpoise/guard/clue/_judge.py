"""CLUE: images and a constitution -> verdicts (arXiv 2501.00192). The order of asking changes time, not verdicts."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from counterpoise.base import InputError, Progress
from counterpoise.chat import Image

from ._ask import Asker
from ._chain import Conversation, Detect, Read, Reason, Request, Settings, precondition
from ._constitution import Constitution, Rule
from ._decide import Truth, all_of, any_of
from ._regions import Detector
from ._scan import Scan
from ._values import Evidence, ImageVerdict, RuleFinding, Scanned

CHUNK = 16  # images whose queries share batches


@dataclass
class _Group:
    """A precondition being decided."""

    talk: Conversation
    texts: tuple[str, ...]
    wants: list[Request] = field(default_factory=list)
    result: tuple[Evidence, ...] | None = None

    @property
    def answer(self) -> Truth | None:
        return None if self.result is None else any_of([evidence.answer for evidence in self.result])

    def start(self) -> None:
        self._step(None)

    def give(self, answers: list[Any]) -> None:
        self._step(answers)

    def give_up(self, reason: str) -> None:
        self.talk.close()
        self.result = tuple(Evidence(text, "unknown", None, reason=reason) for text in self.texts)

    def _step(self, answers: list[Any] | None) -> None:
        try:
            self.wants = next(self.talk) if answers is None else self.talk.send(answers)
        except StopIteration as end:
            self.wants, self.result = [], end.value


@dataclass
class _Case:
    """One image being judged."""

    image: Image
    rules: list[tuple[Rule, list[_Group]]]
    scan: tuple[Scanned, ...]
    started: float
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Clue:
    """The judge. `batched=False` is the naive order: rule by rule, one query at a time, for comparison."""

    asker: Asker
    constitution: Constitution
    detector: Detector | None = None
    scan: Scan | None = None
    """Without one, every rule is judged."""
    settings: Settings = field(default_factory=Settings)
    batched: bool = True
    seconds: float | None = None
    """Time limit for the images of one batch; what is open then is `unknown`."""

    def judge(self, images: Sequence[Image], progress: Progress | None = None) -> list[ImageVerdict]:
        """One verdict for each image, in order. An image that cannot be decoded is `unknown`.

        Raises InputError when the constitution is not ready to be judged.
        """
        self.constitution.check_ready(self.constitution.name)
        verdicts: list[ImageVerdict] = []
        step = CHUNK if self.batched else 1
        for start in range(0, len(images), step):
            chunk = images[start : start + step]
            verdicts += self._chunk(chunk)
            if progress is not None:
                progress.advance(len(chunk))
        return verdicts

    def record(self) -> dict[str, Any]:
        """What a run depends on, for its page."""
        return {
            "constitution": f"{self.constitution.name} {self.constitution.hash}, {len(self.constitution.rules)} rules",
            "model": self.asker.id,
            "answer tokens": self.asker.tokens,
            "prompts": self.asker.prompts,
            "relevance scan": f"{self.scan.encoder.id} at {self.scan.threshold:.6g}" if self.scan else "none",
            "detector": self.detector.id if self.detector else "none",
            "fill of removed regions": self.settings.fill,
            "constants": str(self.settings.constants),
            "reasoning": self.settings.reasoning,
            "order": "batched" if self.batched else "naive",
        }

    def _chunk(self, images: Sequence[Image]) -> list[ImageVerdict]:
        broken: dict[int, ImageVerdict] = {}
        for place, image in enumerate(images):
            try:
                image.pil()
            except InputError as error:
                broken[place] = ImageVerdict(image.source, "unknown", reason=str(error))
        good = [image for place, image in enumerate(images) if place not in broken]
        cases = self._cases(good)
        if self.batched:
            self._together(cases)
        else:
            for case in cases:
                self._alone(case)
        done = iter(verdict(case) for case in cases)
        return [broken[place] if place in broken else next(done) for place in range(len(images))]

    def _cases(self, images: Sequence[Image]) -> list[_Case]:
        rules, now = self.constitution.rules, time.monotonic()
        scans = self.scan(images, rules) if self.scan is not None and images else [()] * len(images)
        settings = self.settings
        if self.detector is None:
            settings = Settings(settings.constants, settings.fill, False, settings.reasoning)
        cases = []
        for image, scanned in zip(images, scans, strict=True):
            dropped = {one.rule for one in scanned if not one.kept}
            kept = [
                (rule, [_Group(precondition(image, rule, n, settings), texts) for n, texts in enumerate(rule.groups)])
                for rule in rules
                if rule.id not in dropped
            ]
            cases.append(_Case(image, kept, scanned, now))
        return cases

    def _alone(self, case: _Case) -> None:
        """The order of the paper: rule by rule, precondition by precondition, stopping at the first that fails."""
        for _, groups in case.rules:
            for group in groups:
                group.start()
                while group.result is None:
                    if self._late(case):
                        group.give_up("time limit")
                        break
                    group.give([self._answer([request], case.counts)[0] for request in group.wants])
                if group.answer == "no":
                    break

    def _together(self, cases: Sequence[_Case]) -> None:
        """The same decisions in rounds: what any open precondition of any image needs is asked in one batch.

        Probabilities are asked ahead of their turn, reasoning only in its turn: a precondition that fails by its
        probability ends its rule before an earlier one is reasoned about.
        """
        for group in (group for case in cases for _, groups in case.rules for group in groups):
            group.start()
        while True:
            ready = [(case, group) for case in cases for _, groups in case.rules for group in _ready(groups)]
            if not ready:
                return
            for case, group in ready:
                if self._late(case):
                    group.give_up("time limit")
            ready = [pair for pair in ready if pair[1].result is None]
            requests = [request for _, group in ready for request in group.wants]
            answers = iter(self._answer(requests, *[case.counts for case, group in ready for _ in group.wants]))
            for _, group in ready:
                group.give([next(answers) for _ in group.wants])

    def _late(self, case: _Case) -> bool:
        return self.seconds is not None and time.monotonic() - case.started > self.seconds

    def _answer(self, requests: Sequence[Request], *counts: Counter[str]) -> list[Any]:
        """Answers in order; requests of one kind go out together, equal ones once."""
        for request, count in zip(requests, counts, strict=True):
            count[{Detect: "detections", Read: "token queries", Reason: "reasoned queries"}[type(request)]] += 1
        answers: dict[Request, Any] = {}
        reads = list(dict.fromkeys(request for request in requests if isinstance(request, Read)))
        if reads:
            answers |= zip(reads, self.asker.read([request.query for request in reads]), strict=True)
        thoughts = list(dict.fromkeys(request for request in requests if isinstance(request, Reason)))
        if thoughts:
            answers |= zip(thoughts, self.asker.reason([request.query for request in thoughts]), strict=True)
        detects = list(dict.fromkeys(request for request in requests if isinstance(request, Detect)))
        for image in dict.fromkeys(request.image for request in detects):
            assert self.detector is not None
            own = [request for request in detects if request.image == image]
            found = iter(self.detector.find(image, [word for request in own for word in request.words]))
            answers |= {request: [next(found) for _ in request.words] for request in own}
        return [answers[request] for request in requests]


def _ready(groups: Sequence[_Group]) -> list[_Group]:
    """Open preconditions of one rule that may go on: none once any has failed, reasoning only in its turn."""
    if any(group.answer == "no" for group in groups):
        return []
    open_ = [group for group in groups if group.result is None]
    return [g for g in open_ if g is open_[0] or not any(isinstance(request, Reason) for request in g.wants)]


def verdict(case: _Case) -> ImageVerdict:
    """The verdict on one image from its decided preconditions."""
    findings = []
    for rule, groups in case.rules:
        chain = []
        for group in groups:
            if group.result is not None:
                chain.append(group.result)
            if group.answer == "no":
                break
        answer = all_of([any_of([evidence.answer for evidence in group]) for group in chain])
        findings.append(RuleFinding(rule.id, rule.text, answer, tuple(chain)))
    answers = [finding.answer for finding in findings]
    reason = "" if findings else "no rule was judged: none is relevant by the scan"
    if "yes" not in answers and "unknown" in answers:
        open_ = [finding.rule for finding in findings if finding.answer == "unknown"]
        reason = f"undecided: {', '.join(open_)}"
    label = {"yes": "unsafe", "unknown": "unknown", "no": "safe"}[any_of(answers)]
    return ImageVerdict(case.image.source, label, tuple(findings), case.scan, reason, dict(case.counts))  # type: ignore[arg-type]
