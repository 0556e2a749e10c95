"""User-side prompting strategies that are studied, applied to task rows. Their wordings stand in `strategies.yaml`."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from counterpoise.base import InputError, read_yaml
from counterpoise.chat import Image, Message, Part, Sample

STRATEGIES = ("benign", "aoa", "autoif", "aoa-autoif")
"""What users do: nothing, shift the model's identity, ask for obedience to instructions, or both."""
_PROMPT, _REPLY = "{prompt}", "{reply}"


@dataclass(frozen=True)
class Strategy:
    """A system text, and what stands around prompts and replies."""

    name: str
    system: str
    before: str
    after: str
    opening: str

    def prompt(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The turns with the strategy around every user turn; its system text stands before the turns' own."""
        turns = tuple(self._around(each) if each.role == "user" else each for each in messages)
        if not self.system:
            return turns
        if turns[0].role == "system":
            return (dataclasses.replace(turns[0], parts=(f"{self.system}\n\n", *turns[0].parts)), *turns[1:])
        return (Message("system", (self.system,)), *turns)

    def __call__(self, row: Sample) -> Sample:
        """The row with the strategy around its turns; replies begin with its promise."""
        turns = self.prompt(row.messages)
        opened = tuple(
            dataclasses.replace(each, parts=(self.opening, *each.parts)) if each.role == "assistant" else each
            for each in turns
        )
        return dataclasses.replace(row, messages=opened if self.opening else turns)

    def _around(self, message: Message) -> Message:
        """Images before the text stay before the frame."""
        first = next((n for n, part in enumerate(message.parts) if not isinstance(part, Image)), len(message.parts))
        inner: list[Part] = [self.before, *message.parts[first:], self.after]
        return dataclasses.replace(message, parts=(*message.parts[:first], *(part for part in inner if part != "")))


@cache
def strategy(name: str) -> Strategy:
    """One of `STRATEGIES`, or `counter-prompt`: a system text that takes back a shifted identity. Raises InputError for
    another name."""
    known = read_yaml(Path(__file__).parent / "strategies.yaml")
    if name not in known:
        raise InputError.unknown("strategy", name, list(known))
    value = known[name]
    before, _, after = value["user"].partition(_PROMPT)
    return Strategy(name, value.get("system", ""), before, after, value["reply"].removesuffix(_REPLY))
