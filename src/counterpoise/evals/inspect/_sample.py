"""Our samples and messages as Inspect's."""

from typing import Any

from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentReasoning,
    ContentText,
)

from counterpoise.chat import Image, Message, Sample
from counterpoise.models import IMAGE_SOURCE as SOURCE

_ROLES: dict[str, Any] = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}


def inspect_sample(sample: Sample) -> InspectSample:
    """Parts in the order in which the model sees them; what statistics need goes into the metadata."""
    return InspectSample(
        id=sample.id,
        input=[inspect_message(message) for message in sample.messages],
        target=sample.target or "",
        choices=list(sample.choices) or None,
        metadata={
            "harmful": sample.harmful,
            "modality": sample.modality,
            "cluster": sample.cluster or sample.id,
            "group": sample.group,
            "images": [image.sha256 for message in sample.messages for image in message.images],
            "facts": {name: value for name, value in sample.meta.items() if isinstance(value, str)},
        },
    )


def inspect_message(message: Message) -> ChatMessage:
    """Text and images in the order in which the model sees them; before an assistant turn, what it thought."""
    content: str | list[Any] = message.text
    if message.images or message.reasoning:
        content = [_part(part) for part in message.parts]
    if message.reasoning:
        content = [ContentReasoning(reasoning=message.reasoning), *content]
    if message.trusted:  # the local provider trusts what a model said
        return ChatMessageAssistant(content=content, source="generate")
    made: ChatMessage = _ROLES[message.role](content=content)
    return made


def _part(part: str | Image) -> ContentText | ContentImage:
    """A file is read by Inspect when its sample starts, so that a long dataset stays small; but not a file in which a
    server would see something else than the local model (deep greys, CMYK, transparency, a turn). Its name, for error
    messages, goes into the field that Inspect leaves to providers: ours reads it, no server is sent it."""
    if isinstance(part, str):
        return ContentText(text=part)
    name: dict[str, Any] = {SOURCE: part.source}
    if part.path is not None and part.header.portable:
        return ContentImage(image=str(part.path.resolve()), internal=name)
    return ContentImage(image=part.data_uri(), internal=name)
