"""Inspect's model provider `counterpoise/<model>`: local VLMs with real batching, images accepted, no network."""

import asyncio
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    Content,
    ContentImage,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message, Part, conversation, user

from ._encoding import encode
from ._engine import Engine
from ._load import load
from ._values import IMAGE_SOURCE, Answer, Decoding

DEFAULT_NEW_TOKENS = 512  # FigStep's three items of 100 words need 400 to 500
STOP_REASONS: dict[str, StopReason] = {"stop": "stop", "length": "max_tokens", "filtered": "content_filter"}


class CounterpoiseAPI(ModelAPI):
    """`model_args`: adapter or artifact (merged unless `merge` is false), dtype, device, revision, batch, or a loaded
    `engine`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own signature)
        engine: Engine | None = None,
        batch: int = 64,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self.own = engine is None
        self.engine = engine or Engine(load(model_name, **{"merge": True, **model_args}), max_batch=batch)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Answer one conversation; it joins a batch with whatever else is waiting. Raises InputError for tools."""
        if tools:
            raise InputError(f"{self.model_name}: tools are not supported by the local provider")
        if (config.num_choices or 1) > 1:
            raise InputError(f"{self.model_name}: num_choices is not supported; use --epochs for several answers")
        decoding = Decoding(
            max_new_tokens=config.max_tokens or DEFAULT_NEW_TOKENS,
            temperature=config.temperature or 0.0,
            top_p=1.0 if config.top_p is None else config.top_p,
            seed=config.seed,
            stop=tuple(config.stop_seqs or ()),
        )
        future = self.engine.submit(to_conversation(input), decoding)
        return self._output(await asyncio.wrap_future(future))

    def _output(self, answer: Answer) -> ModelOutput:
        # Inspect tells thoughts from replies in the text of remote models only: here both are handed over as they are.
        thought = [ContentReasoning(reasoning=answer.reasoning)] if answer.reasoning else []
        said: str | list[Content] = [*thought, ContentText(text=answer.text)] if thought else answer.text
        output = ModelOutput.from_content(self.model_name, said, STOP_REASONS[answer.finish])
        output.metadata = {"problem": answer.problem, "marked": answer.marked}
        output.usage = ModelUsage(
            input_tokens=answer.n_prompt, output_tokens=answer.n_new, total_tokens=answer.n_prompt + answer.n_new
        )
        return output

    async def count_text_tokens(self, text: str) -> int:
        """With the model's own tokenizer: the inherited method would download one."""
        return len(self.engine.loaded.tokenizer(text, add_special_tokens=False).input_ids)

    async def count_media_tokens(self, media: Any) -> int:
        """Image tokens as the processor would lay them out, taken from one encoded image."""
        if not isinstance(media, ContentImage):
            raise InputError(f"{self.model_name}: only images are accepted, got {type(media).__name__}")
        loaded = self.engine.loaded
        image = Image.from_data_uri(media.image)
        options: dict[str, Any] = {"add_generation_prompt": False, "padding_side": "right"}
        both = encode(loaded, [(user(image, "x"),)], **options)["input_ids"].shape[1]
        return int(both - encode(loaded, [(user("x"),)], **options)["input_ids"].shape[1])

    def max_connections(self) -> int:
        """Several batches, so that the next one is complete when a batch ends."""
        return 4 * self.engine.max_batch

    def max_tokens(self) -> int | None:
        return DEFAULT_NEW_TOKENS

    def connection_key(self) -> str:
        """Changes with weights and adapter, so that nothing of another model is shared."""
        return self.engine.loaded.fingerprint

    async def aclose(self) -> None:
        if self.own:
            await asyncio.to_thread(self.engine.close)


def to_conversation(messages: list[ChatMessage]) -> Conversation:
    """Inspect's messages as ours; consecutive messages of one role are joined. What a model said in this sample keeps
    its reasoning apart and is trusted. Raises InputError for other content."""
    joined: list[Message] = []
    for message in messages:
        if message.role not in ("system", "user", "assistant"):
            raise InputError(f"messages with role {message.role} are not supported by the local provider")
        parts, reasoning = _parts(message.content)
        own = isinstance(message, ChatMessageAssistant) and message.source == "generate"
        if joined and (last := joined[-1]).role == message.role:
            thought = "\n\n".join(filter(None, (last.reasoning, reasoning)))
            joined[-1] = Message(message.role, (*last.parts, "\n\n", *parts), thought, last.trusted and own)
        else:
            joined.append(Message(message.role, parts, reasoning, own))
    return conversation(joined, "inspect sample")


def _parts(content: str | list[Content]) -> tuple[tuple[Part, ...], str]:
    """Texts and images in order, and the reasoning."""
    if isinstance(content, str):
        return (content,), ""
    parts: list[Part] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, ContentText):
            parts.append(part.text)
        elif isinstance(part, ContentReasoning):
            thoughts.append(part.reasoning)
        elif isinstance(part, ContentImage):
            parts.append(Image.from_data_uri(part.image, _name(part)))
        else:
            raise InputError(f"{type(part).__name__} is not supported by the local provider; text and images are")
    return tuple(parts), "\n\n".join(thoughts)


def _name(part: ContentImage) -> str:
    """What an image is called in errors: as in the sample, where the sample was ours."""
    known = part.internal.get(IMAGE_SOURCE) if isinstance(part.internal, dict) else None
    return known if isinstance(known, str) else "image of the sample"
