"""Guard models on the local engine: one forward pass for the verdict, its probability and its features."""

import dataclasses
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.evals import PROBLEMS, generated
from counterpoise.evals.judges import OffFormat
from counterpoise.models import Decoding, Engine, Loaded, Prompt, encode_row, load, plain

from .._text import split
from .._values import Exchange, Sees, Verdict, unknown
from ._ask import Asked, sums, verdict_tokens
from ._families import FAMILIES
from ._family import Family, short_name
from ._parse import Mode
from ._passes import Pass, Plan, fit, plan
from ._template import Source, Template, policy_file
from ._verdict import LEAST_MASS, verdict

LOADING = {"adapter", "artifact", "dtype", "device", "revision", "trust_remote_code", "image_backend", "merge"}
OWN = ("threshold", "explain", "template", "policy", "policies", "max_new_tokens", "batch")
Explain = Literal["no", "unsafe", "all"]


class ModelGuard:
    """A published guard model in memory.

    Args:
        family: name of an entry of FAMILIES.
        model: hub id, folder, or a loaded model; the family's default otherwise.
        threshold: p_unsafe from which the label is unsafe.
        explain: also generate, for categories and rationale: never, where p_unsafe reaches the threshold, or always.
        template: the checkpoint's chat template, our rendering of the published shape, or whichever fits.
        policy: file with the policy or system text of a family that takes one.
        max_new_tokens: longest reply; a reply that is cut off is unknown.
        policies: further policies of ShieldGemma 2, name -> text.
        options: of `models.load` (dtype, device, revision, adapter or artifact).

    Raises InputError when the model is not here, is no such guard, or its tokenizer cannot tell the verdicts apart.
    """

    def __init__(
        self,
        family: str | Family,
        model: "str | Loaded | None" = None,
        *,
        threshold: float = 0.5,
        explain: Explain = "unsafe",
        template: Source = "auto",
        policy: str | Path | None = None,
        policies: dict[str, str] | None = None,
        max_new_tokens: int | None = None,
        batch: int = 64,
        **options: Any,
    ):
        if isinstance(family, str) and family not in FAMILIES:
            raise InputError.unknown("family of guards", family, FAMILIES)
        self.family = FAMILIES[family] if isinstance(family, str) else family
        if policy is not None:
            self.family = dataclasses.replace(self.family, policy=policy_file(policy))
        if max_new_tokens is not None:
            self.family = dataclasses.replace(self.family, max_new_tokens=max_new_tokens)
        if not 0 < threshold < 1:
            raise InputError(f"threshold {threshold}: must lie between 0 and 1")
        if wrong := sorted(set(options) - LOADING):
            raise InputError.unknown(f"option of {self.family.name}", wrong[0], [*OWN, *sorted(LOADING)])
        given = model or self.family.models[0]
        self.loaded = load(given, **options) if isinstance(given, str) else given
        if self.family.needs_image and not self.loaded.is_vlm:
            raise InputError(f"{self.loaded.name}: a text model cannot be a {self.family.name} guard")
        self.engine = Engine(self.loaded, max_batch=batch)
        self.batch, self.threshold, self.explain = batch, threshold, explain
        self.template = Template(self.family, self.loaded, template)
        self._frame = self._count(self.template.frame)
        self.policies = {**getattr(self.loaded.processor, "policy_definitions", {}), **(policies or {})}
        if self.family.policies and not self.policies:
            raise InputError(f"{self.loaded.name}: has no policies; give some with policies={{name: text}}")
        self._sides = {m: verdict_tokens(self.loaded, self.family, m) for m in self._modes() if self._scored(m)}
        self.id = f"{self.family.name}@{short_name(self.loaded.name)}~{self.loaded.fingerprint[:8]}"
        found = re.search(r"/snapshots/([0-9a-f]{40})", self.loaded.path)
        self.revision = found[1] if found else self.loaded.fingerprint

    @property
    def sees(self) -> Sees:
        """What it looks at in one pass."""
        return self.family.sees if self.loaded.is_vlm else dataclasses.replace(self.family.sees, images=0)

    @property
    def detours(self) -> dict[str, Any]:
        """Batches that were halved or split, with the reasons, since the guard was made; {} when there were none."""
        return self.engine.detours

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each, in order. What cannot be shown, read or understood is unknown, with the reason."""
        found: list[Verdict] = []
        for start in range(0, len(exchanges), self.batch):
            found += self._window(exchanges[start : start + self.batch])
        return found

    def _window(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        began = time.perf_counter()
        plans = [self._plan(exchange) for exchange in exchanges]
        asked = [self._asked(each) for each in plans]
        ready = [one for own in asked for one in own if one.row is not None]
        self._run(ready)
        share = (time.perf_counter() - began) / max(sum(map(len, asked)), 1)
        return [
            dataclasses.replace(
                self._verdict(exchange, each, own),
                cost=share * max(len(own), 1),
                revision=self.revision,
                template=self.template.hash,
            )
            for exchange, each, own in zip(exchanges, plans, asked, strict=True)
        ]

    def _verdict(self, exchange: Exchange, each: Plan, asked: Sequence[Asked]) -> Verdict:
        if each.refused is not None or not asked:
            return unknown(self.id, exchange, each.refused or "nothing to show")
        return verdict(asked, each, self.id, self.threshold)

    # which passes

    def _plan(self, exchange: Exchange) -> Plan:
        family = self.family
        return plan(
            exchange, self.sees, delimiters=family.delimiters, needs_image=family.needs_image,
            folded=family.turns == "folded",
        )  # fmt: skip

    def _asked(self, each: Plan) -> list[Asked]:
        made: list[Asked] = []
        for whole in each.passes:
            try:
                shown = fit(
                    whole, self._room(), self._count, lambda text, size: split(self.loaded.tokenizer, text, size)
                )
            except InputError as error:
                made.append(Asked(whole, reason=str(error)))
                continue
            policies = self.policies if self.family.policies else {"": self.family.policy}
            made += [self._encode(one, name, text) for one in shown for name, text in policies.items()]
        return made

    def _encode(self, one: Pass, category: str, policy: str) -> Asked:
        asked = Asked(one, category)
        try:
            asked.prompt = self.template.prompt(one, policy)
            row = encode_row(self.loaded, asked.prompt, add_generation_prompt=False)
        except InputError as error:
            asked.reason = str(error)
            return asked
        most = self.loaded.positions
        if most and len(row.ids) + self.family.max_new_tokens > most:
            asked.reason = f"the prompt has {len(row.ids)} tokens, the model takes {most}"
        else:
            asked.row = row
        return asked

    def _count(self, text: str) -> int:
        """Tokens of a text; for a short one the number of bytes, which is never less."""
        if (most := len(text.encode("utf-8", "replace"))) < 64:
            return most
        return len(self.loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _room(self) -> int:
        """Tokens for the texts of one pass: the family's context, or less in a model with a shorter one."""
        most = self.loaded.positions or 1 << 30
        return min(self.family.context, most - self._frame - self.family.max_new_tokens)

    # asking

    def _modes(self) -> list[Mode]:
        return ["prompt", "response"] if self.family.sees.answers else ["prompt"]

    def _scored(self, mode: Mode) -> bool:
        return bool(self.family.unsafe) and (self.family.prefix[mode] is not None or bool(self.family.anchor))

    def _run(self, asked: Sequence[Asked]) -> None:
        for mode in self._modes():
            own = [one for one in asked if one.shown.mode == mode]
            if not own:
                continue
            if self.family.prefix[mode] is None:
                self._generate(own)
                later = [one for one in own if self._continue(one)]
                self._look(later, mode)
                continue
            self._look(own, mode)
            if self.family.parse is not None and self.explain != "no":
                self._generate([one for one in own if self._wanted(one)])

    def _wanted(self, one: Asked) -> bool:
        """Whether words are wanted: not from a model that does not answer the question anyway."""
        answers = (one.mass or 0) >= LEAST_MASS
        return answers and (self.explain == "all" or (one.p or 0) >= self.threshold)

    def _look(self, asked: Sequence[Asked], mode: Mode) -> None:
        if not asked:
            return
        safe, unsafe, doubt = self._sides[mode]
        looks = self.engine.look([one.row for one in asked if one.row is not None], [*safe, *unsafe, *doubt])
        for one, look in zip(asked, looks, strict=True):
            a, b, c = sums(look, len(safe), len(unsafe))
            one.mass = min(a + b + c, 1.0)
            one.p = (b + c) / (a + b + c) if a + b + c > 0 else 0.5
            one.controversial = c / (b + c) if b + c > 0 else 0.0
            one.features = look.hidden

    def _generate(self, asked: Sequence[Asked]) -> None:
        rows = [one.row for one in asked if one.row is not None]
        assert self.family.parse is not None
        for one, answer in zip(asked, self.engine.generate(rows, Decoding(self.family.max_new_tokens)), strict=True):
            reply = generated(answer)
            one.reasoning = reply.reasoning
            one.raw = (self.family.prefix[one.shown.mode] or "") + reply.text
            cut = "; cut at the token limit" if reply.finish == "length" else ""
            if reply.problem in ("unfinished_thought", "not_finite"):
                one.off = f"{PROBLEMS[reply.problem]}{cut}"
                continue
            try:
                one.said = self.family.parse(one.raw, one.shown.mode)
            except OffFormat as error:
                one.off = f"{error}{cut}"

    def _continue(self, one: Asked) -> bool:
        """Encode the prompt with the reply up to its verdict; False where the reply has none or no probability, and
        where a thought stood before it, which is not encoded again."""
        found = re.search(re.escape(self.family.anchor), one.raw, re.IGNORECASE) if self.family.anchor else None
        if found is None or one.prompt is None or one.reasoning:
            return False
        text = one.prompt.text + plain(self.loaded, one.raw[: found.end()])
        one.row = encode_row(self.loaded, Prompt(text, one.prompt.images), add_generation_prompt=False)
        return True
