"""What a benchmark may define when an answer needs several calls of the model under test."""

from collections.abc import Awaitable, Callable

from counterpoise.chat import Conversation, Sample
from counterpoise.models import Answer

Ask = Callable[[Conversation], Awaitable[Answer]]
Pipeline = Callable[[Sample, Ask], Awaitable[Answer]]
"""From a sample and a way to ask the model to the reply that is scored. A reply with a problem ends it: what is built
on nothing says nothing of the model."""
