"""Guards that are classifiers of `transformers`: PromptGuard 2 on text, and any image classifier, such as for nudity.

They have no chat template and write nothing: a label of theirs is unsafe, and its probability is the verdict's. Each
sees one thing only, and says so: the text guard reads no image and no answer, the image guard no text.
"""

import time
from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError
from counterpoise.models import find_folder, fingerprint, resolve_device

from .._text import neutral, split
from .._values import Exchange, Inspected, Sees, Verdict, unknown
from ._family import short_name
from ._passes import Plan, plan

PROMPT_GUARD = "meta-llama/Llama-Prompt-Guard-2-86M"
PROMPT_GUARD_TOKENS = 512
"""Its context; longer texts are split into overlapping pieces, as its card advises."""
NSFW = "Falconsai/nsfw_image_detection"
UNSAFE_TEXT = ("label_1", "malicious", "injection", "jailbreak")
"""PromptGuard 2 has LABEL_0 (benign) and LABEL_1 (malicious); version 1 has BENIGN, INJECTION and JAILBREAK."""
UNSAFE_IMAGE = ("nsfw", "porn", "hentai", "sexy", "sexual", "nude", "explicit", "unsafe", "gore", "violence")
"""Labels that public image classifiers of this kind have, as far as their names mean the same in all of them."""


class _Classifier:
    """What both have in common: a model with labels, some of which are unsafe."""

    def __init__(
        self, kind: str, model: str, unsafe: Sequence[str], threshold: float, device: str, revision: str | None
    ):
        if not 0 < threshold < 1:
            raise InputError(f"threshold {threshold}: must lie between 0 and 1")
        import transformers

        self.folder = find_folder(model, revision=revision)
        owner = getattr(transformers, f"AutoModelFor{kind}")
        try:
            self.model = owner.from_pretrained(self.folder, local_files_only=True).eval()
        except (OSError, ValueError, KeyError) as error:
            said = (str(error).splitlines() or [""])[0][:200]
            raise InputError(f"{model}: not a checkpoint for {kind} ({said})") from error
        self.device = resolve_device(device)
        self.model.to(self.device)
        labels = {int(n): str(name) for n, name in self.model.config.id2label.items()}
        wanted = {name.lower() for name in unsafe}
        self.unsafe = {n: name for n, name in labels.items() if name.lower() in wanted}
        if not self.unsafe or len(self.unsafe) == len(labels):
            raise InputError(
                f"{model}: its labels are {', '.join(labels.values())}; say which are unsafe with the option "
                'unsafe=["LABEL"]'
            )
        self.threshold, self.revision = threshold, fingerprint(self.folder, None, {})
        self.short = short_name(model)

    def scores(self, inputs: dict[str, Any]) -> list[list[float]]:
        """Probability of each unsafe label, row by row, from logits in float32."""
        import torch

        with torch.inference_mode():
            logits = self.model(**{k: v.to(self.device) for k, v in inputs.items()}).logits.float()
        found: list[list[float]] = logits.softmax(-1)[:, list(self.unsafe)].cpu().tolist()
        return found

    def said(self, rows: Sequence[Sequence[float]]) -> tuple[float, tuple[str, ...]]:
        """The largest probability of unsafe over some rows, and the labels that reach the threshold in any of them."""
        p = max(min(sum(row), 1.0) for row in rows)
        tops = {name: max(row[n] for row in rows) for n, name in enumerate(self.unsafe.values())}
        likely = max(tops, key=lambda name: tops[name])
        hit = tuple(name for name, top in tops.items() if top >= self.threshold or name == likely)
        return p, hit if p >= self.threshold else ()

    def verdict(
        self, guard: str, shown: Plan, rows: Sequence[Sequence[float]], seen: Inspected, began: float,
        rationale: str | None = None,
    ) -> Verdict:  # fmt: skip
        """Of some rows of `scores`: unsafe where one is, unknown where something was not seen, else safe."""
        p, hit = self.said(rows)
        unsafe = p >= self.threshold
        reason = None if unsafe or (seen.complete and not shown.unseen) else shown.unseen or "a part could not be shown"
        return Verdict(
            "unsafe" if unsafe else "unknown" if reason else "safe", guard, seen, p_unsafe=p, threshold=self.threshold,
            categories=hit, reason=reason, revision=self.revision, cost=time.perf_counter() - began,
            rationale=rationale,
        )  # fmt: skip


class TextClassifierGuard:
    """A text classifier as a guard of requests; of a long text the worst piece decides.

    Each text of a conversation is classified by itself, since PromptGuard 2 judges a piece of input and not a dialogue.
    """

    sees = Sees(images=0, answers=False)

    def __init__(self, detail: str = PROMPT_GUARD, *, threshold: float = 0.5, unsafe: Sequence[str] = UNSAFE_TEXT,
                 device: str = "auto", revision: str | None = None, batch: int = 32):  # fmt: skip
        from transformers import AutoTokenizer

        self.classifier = _Classifier("SequenceClassification", detail, unsafe, threshold, device, revision)
        self.tokenizer = AutoTokenizer.from_pretrained(self.classifier.folder, local_files_only=True)
        special = self.tokenizer.num_special_tokens_to_add()
        most = min(
            PROMPT_GUARD_TOKENS, getattr(self.classifier.model.config, "max_position_embeddings", PROMPT_GUARD_TOKENS)
        )
        self.room, self.batch, self.revision = most - special - 4, batch, self.classifier.revision
        self.id = f"prompt-guard-2@{self.classifier.short}~{self.revision[:8]}"

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each, in order."""
        return [self._one(exchange) for exchange in exchanges]

    def _one(self, exchange: Exchange) -> Verdict:
        began = time.perf_counter()
        shown = plan(exchange, self.sees)
        if shown.refused is not None:
            return unknown(self.id, exchange, shown.refused, revision=self.revision)
        texts = [neutral(text) for text in shown.passes[0].texts if text.strip()]
        pieces = [piece for text in texts for piece in split(self.tokenizer, text, self.room)]
        rows: list[list[float]] = []
        for start in range(0, len(pieces), self.batch):
            some = pieces[start : start + self.batch]
            inputs = self.tokenizer(some, padding=True, truncation=False, return_tensors="pt")
            rows += self.classifier.scores(dict(inputs))
        keys = shown.passes[0].keys
        seen = Inspected(len(shown.texts & keys), len(shown.texts), 0, len(shown.images))
        told = f"worst of {len(rows)} pieces" if len(rows) > 1 else None
        return self.classifier.verdict(self.id, shown, rows, seen, began, told)


class ImageClassifierGuard:
    """An image classifier as a guard; the worst image of an exchange decides, and a text with it is not looked at."""

    sees = Sees(texts=False, images=None, answers=False)

    def __init__(self, detail: str = NSFW, *, threshold: float = 0.5, unsafe: Sequence[str] = UNSAFE_IMAGE,
                 device: str = "auto", revision: str | None = None):  # fmt: skip
        from transformers import AutoImageProcessor

        self.classifier = _Classifier("ImageClassification", detail, unsafe, threshold, device, revision)
        self.processor = AutoImageProcessor.from_pretrained(
            self.classifier.folder, local_files_only=True, backend="pil"
        )
        self.revision = self.classifier.revision
        self.id = f"nsfw-image@{self.classifier.short}~{self.revision[:8]}"

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each, in order."""
        return [self._one(exchange) for exchange in exchanges]

    def _one(self, exchange: Exchange) -> Verdict:
        began = time.perf_counter()
        shown = plan(exchange, self.sees, needs_image=True)
        if shown.refused is not None:
            return unknown(self.id, exchange, shown.refused, revision=self.revision)
        images = shown.passes[0].images
        try:
            pages = [image.pil() for image in images]
        except InputError as error:
            return unknown(self.id, exchange, str(error), revision=self.revision)
        inputs = self.processor(pages, return_tensors="pt")
        seen = Inspected(0, len(shown.texts), len(images), len(shown.images))
        return self.classifier.verdict(self.id, shown, self.classifier.scores(dict(inputs)), seen, began)
