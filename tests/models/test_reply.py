"""Thoughts apart from replies: by the model's own markers, in ids and in text."""

import dataclasses

import pytest

import templates
import tiny
from counterpoise.chat import user
from counterpoise.models import Decoding, Engine, ReasoningMarkers, encode_row, load, reasoning_markers, split_reply
from counterpoise.models._reply import find_markers, read_reply, unthought
from counterpoise.models._template import traits
from counterpoise.models._tokens import special_ids

THINKING = [name for name, shape in templates.SHAPES.items() if shape.thought]
OPENED = [name for name in THINKING if templates.SHAPES[name].before.lstrip().startswith("</think>")]
RETURNS = [name for name in THINKING if name not in OPENED]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("llama"))), dtype="float32")


def read(loaded, said, *, stop=(), asked="Why?"):
    """What is read from the ids of `said`, behind the generation prompt."""
    prompt = encode_row(loaded, (user(asked),), add_generation_prompt=True).ids
    ids = loaded.tokenizer(said, add_special_tokens=False)["input_ids"]
    known = traits(loaded)
    return read_reply(loaded.tokenizer, known.markers, special_ids(loaded), prompt, ids, stop, opened=known.opens)


@pytest.mark.parametrize("name", THINKING)
def test_a_thought_and_a_reply_are_apart(base, name):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    assert read(loaded, shape.thought + "Good." + shape.end) == ("Good.", "R.", None)
    assert read(loaded, shape.before + "Good." + shape.end) == (
        ("Good.", "", None) if shape.before or name not in OPENED else ("", "Good.", "unfinished_thought")
    )


@pytest.mark.parametrize("name", THINKING)
def test_a_thought_that_never_ends_is_no_reply(base, name):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    begun = shape.thought.partition("R.")[0]
    assert read(loaded, begun + "I should say: here is how") == ("", "I should say: here is how", "unfinished_thought")
    assert read(loaded, begun) == ("", "", "unfinished_thought")
    assert read(loaded, shape.thought + " \n" + shape.end) == ("", "R.", "empty")


@pytest.mark.parametrize("name", ["qwen3", "deepseek-r1", "lfm2"])
def test_a_closing_marker_alone_ends_a_thought(base, name):
    assert read(templates.SHAPES[name].loaded(base), "Let me see.</think>Good.") == ("Good.", "Let me see.", None)


def test_several_thoughts_and_a_second_closing_marker(base):
    loaded = templates.SHAPES["qwen3"].loaded(base)
    assert read(loaded, "<think>A</think>One. <think>B</think>Two.") == ("One. Two.", "A\n\nB", None)
    assert read(loaded, "<think>A</think>still thinking</think>Good.") == ("Good.", "A\n\nstill thinking", None)
    assert read(loaded, "Sure. <think>A") == ("", "Sure.\n\nA", "unfinished_thought")


def test_text_that_looks_like_a_marker_is_text(base):
    """A user can make a model repeat `</think>`; only the token ends a thought, wherever the tokenizer has one."""
    loaded = templates.SHAPES["qwen3"].loaded(base)
    tokenizer = loaded.tokenizer
    typed = tokenizer._encode_without_added_tokens("harm </think> Sorry.")
    prompt = encode_row(loaded, (user("Why?"),), add_generation_prompt=True).ids
    found = read_reply(tokenizer, reasoning_markers(loaded), special_ids(loaded), prompt, typed)
    assert found == ("harm </think> Sorry.", "", None)


def test_a_thought_in_the_question_opens_none(base):
    loaded = templates.SHAPES["qwen3"].loaded(base)
    prompt = encode_row(loaded, (user("Why? <think>"),), add_generation_prompt=True).ids
    ids = loaded.tokenizer("Good.", add_special_tokens=False)["input_ids"]
    found = read_reply(loaded.tokenizer, reasoning_markers(loaded), special_ids(loaded), prompt, ids)
    assert found == ("Good.", "", None)


@pytest.mark.parametrize("asked", ["Why?", "How do I X? End with <think>", "Say </think>"])
def test_markers_that_are_no_tokens_open_a_thought_only_in_the_template(base, asked):
    """There a user's `<think>` has the very ids of a marker, and would leave every reply unscored."""
    closed, opened = (
        dataclasses.replace(templates.SHAPES[name], added=()).loaded(base) for name in ("qwen3", "qwen3-thinking")
    )
    assert read(closed, "Good.", asked=asked) == ("Good.", "", None)
    assert read(opened, "R.\n</think>\n\nGood.", asked=asked) == ("Good.", "R.", None)
    assert read(opened, "R.", asked=asked) == ("", "R.", "unfinished_thought")
    engine = Engine(saying_after(opened, asked, "Go<|im_end|>"))
    (answer,) = engine.generate([(user(asked),)], Decoding(max_new_tokens=9))
    engine.close()
    assert (answer.text, answer.reasoning, answer.problem) == ("", "Go", "unfinished_thought")


def saying_after(loaded, asked, said):
    prompt = encode_row(loaded, (user(asked),), add_generation_prompt=True).ids
    return templates.saying(loaded, prompt[-1], loaded.tokenizer(said, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", [name for name in templates.SHAPES if name not in THINKING])
def test_a_model_without_markers_says_what_it_says(base, name):
    loaded = templates.SHAPES[name].loaded(base)
    assert reasoning_markers(loaded) is None
    said = "<think>a plan</think>Sure." + templates.SHAPES[name].end
    assert read(loaded, said) == ("<think>a plan</think>Sure.", "", None)
    assert read(loaded, templates.SHAPES[name].end).problem == "empty"


def test_stop_strings_cut_before_the_parts_are_told_apart(base):
    loaded = templates.SHAPES["qwen3"].loaded(base)
    assert read(loaded, "<think>A</think>One END two", stop=("END",)) == ("One", "A", None)
    assert read(loaded, "<think>A END b</think>One", stop=("END",)) == ("", "A", "unfinished_thought")


def test_known_forms_are_found_in_templates_or_tokens():
    assert find_markers("{{ m.content.split('</think>') }}", ()) == ReasoningMarkers()
    assert find_markers("", ("[THINK]", "[/THINK]")) == ReasoningMarkers(("[THINK]",), ("[/THINK]",))
    seed = find_markers("", ("<seed:think>", "</seed:think>"))
    assert seed is not None and seed.opening == ("<seed:think>",)
    cohere = find_markers("<|START_THINKING|><|END_THINKING|><|START_RESPONSE|>", ("<|END_RESPONSE|>",))
    assert cohere is not None and set(cohere.frame) == {"<|START_RESPONSE|>", "<|END_RESPONSE|>"}
    assert find_markers("a template", ("<|im_end|>", "<answer>", "</answer>")) is None


def test_text_of_models_elsewhere():
    assert split_reply("<think>\nWhy\n</think>\n\nNo.") == ("No.", "Why", None)
    assert split_reply("Why</think>No.") == ("No.", "Why", None)
    assert split_reply("<think>Why") == split_reply("Why", opened=True) == ("", "Why", "unfinished_thought")
    assert split_reply("No.") == ("No.", "", None) and split_reply(" \n").problem == "empty"
    assert split_reply("[THINK]a[/THINK]b", ReasoningMarkers(("[THINK]",), ("[/THINK]",))) == ("b", "a", None)
    assert split_reply("<think>a</think>b", None) == ("<think>a</think>b", "", None)


@pytest.mark.parametrize(
    "said, tokens, expected",
    [
        ("<think>why</think>No<|im_end|>", 20, ("No", "why", None, "stop")),
        ("<think>why</think>No<|im_end|>", 2, ("", "w", "unfinished_thought", "length")),
        ("<think>why</think><|im_end|>", 20, ("", "why", "empty", "stop")),
        ("No<|im_end|>", 20, ("No", "", None, "stop")),
    ],
)
def test_the_engine_hands_over_the_parts(base, said, tokens, expected):
    loaded = templates.SHAPES["qwen3"].loaded(base)
    ids = loaded.tokenizer(said, add_special_tokens=False)["input_ids"]
    prompt = encode_row(loaded, (user("?"),), add_generation_prompt=True).ids
    engine = Engine(templates.saying(loaded, prompt[-1], ids))
    (answer,) = engine.generate([(user("?"),)], Decoding(max_new_tokens=tokens))
    engine.close()
    assert (answer.text, answer.reasoning, answer.problem, answer.finish) == expected
    assert answer.whole == (expected[2] is None)


def test_the_templates_end_of_turn_ends_a_reply_that_the_config_forgot(base):
    """Gemma 3 with a generation config that names <eos> alone: what is learned as the end must be one."""
    loaded = templates.SHAPES["gemma3"].loaded(base)
    ids = loaded.tokenizer("No<end_of_turn>is it", add_special_tokens=False)["input_ids"]
    prompt = encode_row(loaded, (user("?"),), add_generation_prompt=True).ids
    model = templates.saying(loaded, prompt[-1], ids)
    assert model.model.generation_config.eos_token_id == loaded.tokenizer.eos_token_id != ids[1]
    engine = Engine(model)
    (answer,) = engine.generate([(user("?"),)], Decoding(max_new_tokens=9))
    engine.close()
    assert (answer.text, answer.finish) == ("No", "stop")
    oss = templates.SHAPES["gpt-oss"].loaded(base)  # <|end|> ends a thought there, and must not end the reply
    said = oss.tokenizer("<|channel|>analysis<|message|>R<|end|>", add_special_tokens=False)["input_ids"]
    prompt = encode_row(oss, (user("?"),), add_generation_prompt=True).ids
    engine = Engine(templates.saying(dataclasses.replace(oss), prompt[-1], said))
    (answer,) = engine.generate([(user("?"),)], Decoding(max_new_tokens=len(said)))
    engine.close()
    assert answer.finish == "length"


def with_weights(loaded):
    """The shape over random weights of its own vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**tiny.TEXT, vocab_size=len(loaded.tokenizer))).eval()
    return dataclasses.replace(loaded, model=model)


@pytest.mark.parametrize("name", ["deepseek-r1", "qwen3"])
def test_options_follow_an_empty_thought_where_the_prompt_opens_one(base, name):
    """Inside a thought an option is no reply: "B" there is the beginning of a deliberation."""
    import torch

    shape = templates.SHAPES[name]
    loaded = with_weights(shape.loaded(base))
    prompt = encode_row(loaded, (user("A or B?"),), add_generation_prompt=True).ids
    ended = loaded.tokenizer("\n</think>\n\n", add_special_tokens=False)["input_ids"] if name in OPENED else []
    assert traits(loaded).unthought == ("\n</think>\n\n" if name in OPENED else "")

    def sum_of_logs(before, option):
        ids = loaded.tokenizer(option, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logs = loaded.model(torch.tensor([[*before, *ids]])).logits[0].log_softmax(-1)
        return sum(float(logs[len(before) - 1 + n, id]) for n, id in enumerate(ids))

    options = ["A", "B", "Both of them"]
    engine = Engine(loaded)
    (found,) = engine.score_options([(user("A or B?"),)], [options])
    assert found == pytest.approx([sum_of_logs([*prompt, *ended], option) for option in options], abs=1e-3)
    (given,) = engine.score_answers([(user("A or B?"),)], ["Both of them"])
    assert given.total == pytest.approx(found[2], abs=1e-3)
    if name in OPENED:
        assert found[2] != pytest.approx(sum_of_logs(prompt, options[2]), abs=1e-2)


def test_what_ends_a_thought_is_its_own_marker():
    known = find_markers("[THINK][/THINK]<think></think>", ())
    assert unthought("[INST]Why?[/INST][THINK]", known) == "[/THINK]"
    assert unthought("Why? <think>\n", known) == "\n</think>\n\n"
    assert unthought("<think>\nw\n</think>\n\n", known) == unthought("Why?", known) == unthought("<think>", None) == ""
