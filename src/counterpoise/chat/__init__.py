"""The values that flow everywhere: images, messages, conversations, samples, pairs, verdicts."""

from ._image import MAX_IMAGE_BYTES, Image
from ._message import Conversation, Message, Part, Role, assistant, conversation, system, user
from ._pixels import MAX_PIXELS, TooManyPixels
from ._sample import Modality, Pair, Sample, Split, Verdict

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_PIXELS",
    "Conversation",
    "Image",
    "Message",
    "Modality",
    "Pair",
    "Part",
    "Role",
    "Sample",
    "Split",
    "TooManyPixels",
    "Verdict",
    "assistant",
    "conversation",
    "system",
    "user",
]
