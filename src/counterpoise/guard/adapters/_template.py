"""A guard's prompt, rendered so that it provably holds every text once and no text can act on the template."""

import re
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_text, sha256_bytes
from counterpoise.chat import Image
from counterpoise.models import Loaded, Prompt, plain

from ._family import IMAGE, Family, Tokens, Turns
from ._parse import Mode
from ._passes import Part, Pass

Source = Literal["auto", "checkpoint", "ours"]
_SLOT = "CPxPART{:04d}xCP"
_FIND = re.compile(r"CPxPART(\d{4})xCP")
_PIXEL = Image(source="a place for an image", data=b"")


class Template:
    """Renders passes for one model. The template is run over placeholders, never over the guarded texts themselves:
    each placeholder must come out exactly once, inside the conversation block, and only then texts take their places.

    `source`: the checkpoint's own chat template, our rendering of the family's published shape, or (auto) the former
    where it writes what this family's template must. Raises InputError when neither fits.
    """

    def __init__(self, family: Family, loaded: Loaded, source: Source = "auto"):
        self.family, self.loaded = family, loaded
        self.image = str(getattr(loaded.processor, "image_token", None) or "") if loaded.is_vlm else ""
        self.style = self._style(source)
        rendered = [self._skeleton(probe, mode, family.policy) for probe, mode in _probes(family)]
        self.hash = sha256_bytes("\n".join(rendered).encode())[:16]
        self.frame = _FIND.sub("", max(rendered, key=len))
        """The longest prompt without any text of an exchange."""

    def prompt(self, one: Pass, policy: str = "") -> Prompt:
        """The prompt of one pass. Raises InputError when the template loses, repeats or moves a text or an image."""
        texts = one.texts
        skeleton = self._skeleton(one.slots([_SLOT.format(n) for n in range(len(texts))]), one.mode, policy)
        text = _FIND.sub(lambda found: plain(self.loaded, texts[int(found[1])]), skeleton)
        return Prompt(text, one.images)

    def _skeleton(self, turns: Turns, mode: Mode, policy: str) -> str:
        """The prompt with placeholders, ending where the verdict begins."""
        composed = self.family.compose(turns, mode, policy)
        if self.style == "raw":
            assert self.family.raw is not None
            bos = self.loaded.tokenizer.bos_token or ""
            text = self.family.raw(composed, mode, Tokens(bos, self.image))
        else:
            text = self._chat(composed, self.style)
        self._check(text, composed)
        prefix = self.family.prefix[mode] or ""
        return text if prefix and text.endswith(prefix) else text + prefix

    def _chat(self, turns: Turns, style: str) -> str:
        loaded = self.loaded
        owner = loaded.processor if getattr(loaded.processor, "chat_template", None) else loaded.tokenizer

        def part(value: str) -> dict[str, str]:
            return {"type": "image"} if value == IMAGE else {"type": "text", "text": value}

        chat: list[dict[str, Any]] = [
            {"role": role, "content": [part(p) for p in parts] if style == "parts" else "".join(parts)}
            for role, parts in turns
        ]
        options = {"add_generation_prompt": self.family.generation_prompt, **self.family.template_options}
        import jinja2

        try:
            return str(owner.apply_chat_template(chat, tokenize=False, **options))
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise InputError(f"{loaded.name}: its chat template rejects the exchange ({error})") from error

    def _check(self, text: str, turns: Turns) -> None:
        name, family = self.loaded.name, self.family
        wanted = [p for _, parts in turns for p in parts if _FIND.fullmatch(p)]
        found = [match[0] for match in _FIND.finditer(text)]
        if sorted(found) != sorted(wanted):
            raise InputError(f"{name}: its template shows {len(found)} of {len(wanted)} texts of the exchange once")
        if "{'type': 'text'" in text:  # a template for plain strings, given a list of parts, may print the list
            raise InputError(f"{name}: its template does not take the parts of a turn")
        if missing := [mark for mark in family.marks if mark not in text]:
            raise InputError(f"{name}: its template does not write {missing[0]!r}; is it a {family.name} model?")
        if family.block is not None:
            start, end = text.rfind(family.block[0]), text.rfind(family.block[1])
            if any(not start < match.start() < end for match in _FIND.finditer(text)):
                raise InputError(f"{name}: its template puts a text outside {family.block[0]}")
        images = sum(p == IMAGE for _, parts in turns for p in parts)
        if (self.image and text.count(self.image) != images) or (images and not self.image):
            raise InputError(f"{name}: its template has places for another number of images than {images}")

    def _style(self, source: Source) -> str:
        """`parts`, `string` or `raw`: the first under which the probes come out right."""
        styles = {"checkpoint": ["parts", "string"], "ours": ["raw"], "auto": ["parts", "string", "raw"]}[source]
        if source == "auto" and self.family.raw is not None and not self.family.marks:
            styles = ["raw"]  # nothing tells its template from another's
        if self.family.raw is None:
            styles = [style for style in styles if style != "raw"]
        reason = f"{self.family.name} has no prompt of ours"
        for style in styles:
            self.style = style
            try:
                for probe, mode in _probes(self.family):
                    self._skeleton(probe, mode, self.family.policy)
            except InputError as error:
                reason = str(error)
                continue
            return style
        raise InputError(f"{self.loaded.name}: cannot be asked as {self.family.name}: {reason}")


def _probes(family: Family) -> list[tuple[Turns, Mode]]:
    """Exchanges of the kinds that the family takes, as placeholders."""
    parts = (_PIXEL,) if family.needs_image else ()
    first = Pass((("user", (*(Part(p, frozenset()) for p in parts), Part("a", frozenset()))),), "prompt")
    both = Pass((*first.turns, ("assistant", (Part("b", frozenset()),))), "response")
    made: list[Pass] = [first, both] if family.sees.answers else [first]
    return [(each.slots([_SLOT.format(n) for n in range(len(each.texts))]), each.mode) for each in made]


def policy_file(path: str | Path) -> str:
    """A policy or system text of the user's. Raises InputError when it cannot be read or is empty."""
    text = read_text(Path(path)).strip()
    if not text:
        raise InputError(f"{path}: empty; expected the policy's text")
    return text
