"""The provider inside Inspect itself, without a network."""

import asyncio
import itertools
import socket

import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.solver import generate

import templates
from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, user
from counterpoise.models import Decoding, Engine, encode_row, load
from counterpoise.models._provider import CounterpoiseAPI, to_conversation
from tiny import build, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_images_and_text_give_the_engines_answers(folder, tmp_path, offline):
    image = Image.from_pil(picture(1))
    rows = [
        Sample(
            id="a", input=[ChatMessageUser(content=[ContentImage(image=image.data_uri()), ContentText(text="one")])]
        ),
        Sample(id="b", input="two cats"),
    ]
    log = inspect_eval(
        Task(dataset=rows, solver=generate()),
        model=f"counterpoise/{folder}",
        model_args={"dtype": "float32"},
        max_tokens=6,
        log_dir=str(tmp_path),
        display="none",
        max_connections=8,
    )[0]
    assert log.status == "success"
    engine = Engine(load(str(folder), dtype="float32"))
    expected = engine.generate([(user(image, "one"),), (user("two cats"),)], Decoding(max_new_tokens=6))
    assert [sample.output.completion for sample in log.samples] == [answer.text for answer in expected]
    assert log.samples[0].output.usage.input_tokens == expected[0].n_prompt


def test_tokens_are_counted_with_the_models_own_tokenizer(folder, offline):
    import asyncio

    api = get_model(f"counterpoise/{folder}", dtype="float32").api
    assert asyncio.run(api.count_text_tokens("two cats")) == len(
        api.engine.loaded.tokenizer("two cats", add_special_tokens=False).input_ids
    )
    assert asyncio.run(api.count_media_tokens(ContentImage(image=Image.from_pil(picture(2)).data_uri()))) >= 4


def test_requests_fill_batches_and_never_block_the_event_loop(folder, offline):
    """With Inspect's static connections the engine sees whole batches; timers run on while it computes."""
    import asyncio
    import time

    api = get_model(f"counterpoise/{folder}", dtype="float32", batch=16, memoize=False).api
    assert api.max_connections() >= 2 * 16
    sizes, real = [], api.engine._run

    def counted(rows, decoding):
        sizes.append(len(rows))
        time.sleep(0.3)
        return real(rows, decoding)

    api.engine.submit((user("start"),)).result(60)  # makes the queue
    api.engine._queue._run = counted

    async def ask():
        ticks, done = [], asyncio.Event()

        async def tick():
            while not done.is_set():
                ticks.append(time.monotonic())
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        config = GenerateConfig(max_tokens=2)
        calls = [api.generate([ChatMessageUser(content=f"question {n}")], [], "none", config) for n in range(32)]
        outputs = await asyncio.gather(*calls)
        done.set()
        await ticking
        return outputs, max(b - a for a, b in itertools.pairwise(ticks))

    outputs, longest = asyncio.run(ask())
    assert len(outputs) == 32 and all(o.usage.output_tokens <= 2 for o in outputs)
    assert sizes == [16, 16]
    assert longest < 0.25  # a batch takes at least 0.3 s


def test_a_broken_image_fails_its_own_sample_only(folder, tmp_path, offline):
    bad = "data:image/png;base64," + "AAAA" * 30
    rows = [
        Sample(id="bad", input=[ChatMessageUser(content=[ContentImage(image=bad), ContentText(text="x")])]),
        Sample(id="good", input="two cats"),
    ]
    log = inspect_eval(
        Task(dataset=rows, solver=generate()),
        model=f"counterpoise/{folder}",
        model_args={"dtype": "float32"},
        max_tokens=3,
        log_dir=str(tmp_path),
        display="none",
        max_connections=8,
        fail_on_error=False,
    )[0]
    by_id = {sample.id: sample for sample in log.samples}
    assert "not a readable image" in by_id["bad"].error.message
    assert by_id["good"].error is None and by_id["good"].output.usage.output_tokens > 0


def test_what_the_provider_does_not_do_is_said(folder):
    with pytest.raises(InputError, match="role tool"):
        to_conversation([ChatMessageTool(content="x", tool_call_id="1")])
    both = to_conversation([ChatMessageUser(content="a"), ChatMessageUser(content="b")])
    assert [message.text for message in both] == ["a\n\nb"]
    with pytest.raises(InputError, match="data:image"):
        to_conversation([ChatMessageUser(content=[ContentImage(image="https://example.org/a.png")])])


def test_thoughts_are_content_of_their_own(tmp_path):
    """What the engine told apart arrives in Inspect as reasoning and text, and goes back as such."""
    base = load(str(build("llama", tmp_path)), dtype="float32")
    loaded = templates.SHAPES["qwen3"].loaded(base)
    prompt = encode_row(loaded, (user("?"),), add_generation_prompt=True).ids

    def answer(said, tokens=20):
        ids = loaded.tokenizer(said, add_special_tokens=False)["input_ids"]
        engine = Engine(templates.saying(loaded, prompt[-1], ids))
        api = CounterpoiseAPI("says", engine=engine)
        try:
            return asyncio.run(
                api.generate([ChatMessageUser(content="?")], [], "none", GenerateConfig(max_tokens=tokens))
            )
        finally:
            engine.close()

    whole = answer("<think>why</think>No<|im_end|>")
    assert [part.type for part in whole.message.content] == ["reasoning", "text"]
    assert whole.message.content[0].reasoning == "why" and whole.completion == "No"
    assert whole.metadata == {"problem": None, "marked": True}
    cut = answer("<think>why</think>No<|im_end|>", 3)
    assert (cut.completion, cut.stop_reason) == ("", "max_tokens")
    assert cut.metadata == {"problem": "unfinished_thought", "marked": True}
    assert answer("No<|im_end|>").message.content == "No"
    history = to_conversation([ChatMessageUser(content="?"), whole.message, ChatMessageUser(content="!")])
    assert history[1] == assistant("No", reasoning="why", trusted=True)
    given = ChatMessageAssistant(content="<think>a</think>b")  # a row of data wrote it
    assert to_conversation([ChatMessageUser(content="?"), given, ChatMessageUser(content="!")])[1] == assistant(
        "<think>a</think>b"
    )
