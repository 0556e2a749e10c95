"""Labels on the templates of real families: the prompt is the generation prompt, the rest is what the model writes."""

import dataclasses
import re

import pytest

import templates
import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Pair, Sample, assistant, system, user
from counterpoise.models import encode_row, load, special_ids
from counterpoise.train import DPO, SFT, TrainConfig, fit
from counterpoise.train._labels import IGNORED, label

NAMES = list(templates.SHAPES)
THINKING = [name for name, shape in templates.SHAPES.items() if shape.thought]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("llama"))), dtype="float32")


@pytest.fixture(scope="module")
def vlms(tmp_path_factory):
    return {
        arch: load(str(tiny.build(arch, tmp_path_factory.mktemp(arch))), dtype="float32")
        for arch in ("llava", "smolvlm")
    }


def with_template(loaded, template):
    """The same model, whose processor writes `template`."""
    loaded.processor.chat_template = loaded.tokenizer.chat_template = template
    return loaded


def generation_prompt(loaded, messages):
    return encode_row(loaded, messages, add_generation_prompt=True).ids


def text(loaded, ids):
    return loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def learned(loaded, row):
    return text(loaded, [token for token in row.labels if token != IGNORED])


def squeezed(words):
    return re.sub(r"\s+", " ", words).strip()


@pytest.mark.parametrize("reply", ["No.", "Yes: two\nlines, and then some", "\nbegins with a line break", "end"])
@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_is_the_generation_prompt_and_the_rest_is_learned(base, name, reply):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    asked = (user("What is printed in the picture?"),)
    (row,) = label(loaded, Sample("a", (*asked, assistant(reply))))
    prompt = generation_prompt(loaded, asked)
    assert row.row.ids[: len(prompt)] == prompt
    assert row.labels[: len(prompt)] == [IGNORED] * len(prompt) and row.labels[len(prompt)] != IGNORED
    assert squeezed(learned(loaded, row)) == squeezed(shape.before + reply + shape.end)
    (rejection,) = label(loaded, Sample("a", (*asked, assistant(reply)), rejection=True))
    assert squeezed(learned(loaded, rejection)) == squeezed(shape.before + reply)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_row_has_the_ids_of_the_whole_conversation(base, name):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    messages = (user("What is printed?"), assistant("Two words, please."))
    (row,) = label(loaded, Sample("a", messages))
    if not shape.rewrites or name == "qwen3":
        assert row.row.ids == encode_row(loaded, messages, add_generation_prompt=False).ids


@pytest.mark.parametrize("name", NAMES)
def test_every_reply_of_a_dialogue_is_learned_behind_its_own_prompt(base, name):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    messages = (
        user("A?"),
        assistant("First, and more."),
        user("B?"),
        assistant("Second."),
        user("C?"),
        assistant("Last."),
    )
    rows = label(loaded, Sample("a", messages))
    assert len(rows) == (3 if shape.rewrites else 1)
    spans = [(row, span) for row in rows for span in row.spans]
    assert len(spans) == 3
    for turn, (row, span) in zip((1, 3, 5), spans, strict=True):
        assert row.row.ids[: span.start] == generation_prompt(loaded, messages[:turn])
        assert row.labels[span.start : span.end] == row.row.ids[span.start : span.end]
        written = shape.before + messages[turn].text + shape.end
        assert squeezed(text(loaded, row.row.ids[span.start : span.end])) == squeezed(written)
    assert sum(token != IGNORED for row in rows for token in row.labels) == sum(s.end - s.start for _, s in spans)


@pytest.mark.parametrize("name", THINKING)
def test_a_thought_is_learned_in_the_models_own_form(base, name):
    shape = templates.SHAPES[name]
    loaded = shape.loaded(base)
    expected = squeezed(shape.thought + "Good." + shape.end)
    asked = (user("A?"),)
    (apart,) = label(loaded, Sample("a", (*asked, assistant("Good.", reasoning="R."))))
    prompt = generation_prompt(loaded, asked)
    assert apart.row.ids[: len(prompt)] == prompt and squeezed(learned(loaded, apart)) == expected
    # the markers are the tokens themselves
    markers = {token for token in loaded.tokenizer.added_tokens_decoder if text(loaded, [token]) in shape.thought}
    assert markers & set(apart.labels)
    # and so is a thought that a trusted row writes into its text
    inline = shape.thought if "THINK" in shape.thought or "channel" in shape.thought else "<think>R.</think>"
    (trusted,) = label(loaded, Sample("a", (*asked, assistant(inline + "Good.", trusted=True))))
    assert trusted.labels == apart.labels
    # of any other row it is text: no token of the model
    (other,) = label(loaded, Sample("a", (*asked, assistant(inline + "Good."))))
    (none,) = label(loaded, Sample("a", (*asked, assistant("Good."))))
    control = set(loaded.tokenizer.added_tokens_decoder)
    assert [t for t in other.row.ids if t in control] == [t for t in none.row.ids if t in control]
    assert squeezed(inline + "Good.") in squeezed(learned(loaded, other))


def test_reasoning_without_a_place_is_refused_and_named(base):
    loaded = templates.SHAPES["llama3"].loaded(base)
    with pytest.raises(InputError, match="row a: llama3: its chat template has no place for a reply's reasoning"):
        label(loaded, Sample("a", (user("A?"), assistant("B.", reasoning="R."))))


def test_a_system_message_that_moves_makes_rows_of_their_own(base):
    loaded = templates.SHAPES["mistral"].loaded(base)
    messages = (system("Be brief."), user("A?"), assistant("First."), user("B?"), assistant("Second."))
    rows = label(loaded, Sample("a", messages))
    assert [squeezed(learned(loaded, row)) for row in rows] == ["First.</s>", "Second.</s>"]
    assert [text(loaded, row.row.ids).count("Be brief.") for row in rows] == [1, 1]


def test_the_end_of_turn_without_a_name_is_an_end_of_turn(base):
    """Gemma 3's is special and fills no named role: another end must not be put over it."""
    loaded = templates.SHAPES["gemma3"].loaded(base)
    end = loaded.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert end not in loaded.tokenizer.all_special_ids and end in special_ids(loaded)
    (row,) = label(loaded, Sample("a", (user("A?"), assistant("Two."))))
    assert [token for token in row.labels if token != IGNORED][-1] == end
    assert loaded.tokenizer.eos_token_id not in row.row.ids


def test_no_turn_header_is_learned(base):
    """Phi 3.5 writes <|endoftext|> behind the last turn only, where <|user|> follows an earlier one."""
    loaded = templates.SHAPES["phi3.5"].loaded(base)
    (row,) = label(loaded, Sample("a", (user("A?"), assistant("B."), user("C?"), assistant("D."))))
    assert squeezed(learned(loaded, row)) == "B.<|end|>D.<|end|>"


@pytest.mark.parametrize("template, arch", [(templates.LLAVA15, "llava"), (templates.IDEFICS3, "smolvlm")])
@pytest.mark.parametrize("later", [False, True])
def test_vision_families(vlms, template, arch, later):
    loaded = with_template(vlms[arch], template)
    shown = Image.from_pil(tiny.picture(3))
    messages = (
        user("Look.") if later else user(shown, "Look."), assistant("I see a cat."),
        user(shown, "And now?") if later else user("And now?"), assistant("A dog, and more"),
    )  # fmt: skip
    (row,) = label(loaded, Sample("a", messages))
    for turn, span in zip((1, 3), row.spans, strict=True):
        assert row.row.ids[: span.start] == generation_prompt(loaded, messages[:turn])
        assert squeezed(text(loaded, row.row.ids[span.start : span.content])) == messages[turn].text
    first, last = row.spans
    if arch == "smolvlm":
        end = loaded.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
        assert [row.labels[span.end - 1] for span in row.spans] == [end, end]
    else:  # nothing closes a turn: the last reply gets an end, without which the model never stops
        assert row.row.ids[-1] == row.labels[-1] == loaded.tokenizer.eos_token_id and last.end == len(row.row.ids)
        assert first.end == first.content
    if row.row.types is not None:
        assert len(row.row.types) == len(row.row.ids)


def test_a_reply_that_the_template_leaves_out_is_refused(base):
    loaded = templates.SHAPES["qwen2.5"].loaded(base)
    loaded.tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content | truncate(9) }}{% endfor %}"
    with pytest.raises(InputError, match="row long: qwen2.5: its chat template writes no reply behind its own"):
        label(loaded, Sample("long", (user("A?"), assistant("A reply that is longer than what the template writes."))))
    other = templates.SHAPES["lfm2"].loaded(base)  # thoughts in history, and a prompt that no reply follows
    other.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'now: ' }}{% endif %}"
    )
    told = (user("A?"), assistant("B.", reasoning="R."), user("C?"), assistant("D."))
    with pytest.raises(InputError, match="row a: lfm2: its chat template writes no reply behind its own"):
        label(other, Sample("a", told))


def test_a_turn_may_end_in_another_way_with_a_thought(base):
    loaded = templates.SHAPES["cohere"].loaded(base)
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|USER_TOKEN|>' if m.role == 'user' else '<|CHATBOT_TOKEN|>' }}{% if m.thinking %}"
        "{{ '<|START_THINKING|>' + m.thinking + '<|END_THINKING|>' }}"
        "{{ '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' }}"
        "{% else %}{{ m.content }}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|CHATBOT_TOKEN|>' }}{% endif %}"
    )
    (plain,) = label(loaded, Sample("a", (user("A?"), assistant("Good."))))
    (thought,) = label(loaded, Sample("a", (user("A?"), assistant("Good.", reasoning="R."))))
    ends = "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    assert learned(loaded, plain) == "Good.<|END_OF_TURN_TOKEN|>"
    assert learned(loaded, thought) == "<|START_THINKING|>R.<|END_THINKING|><|START_RESPONSE|>Good." + ends


def test_a_prompt_that_closes_an_empty_thought_leaves_none_to_learn(base):
    """Qwen 3 with thinking switched off: the prompt ends with an empty thought."""
    loaded = templates.SHAPES["qwen3"].loaded(base)
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}{% endif %}"
    )
    asked = (user("A?"),)
    (row,) = label(loaded, Sample("a", (*asked, assistant("Good."))))
    prompt = generation_prompt(loaded, asked)
    assert row.row.ids[: len(prompt)] == prompt and learned(loaded, row) == "Good.<|im_end|>"
    with pytest.raises(InputError, match="has no place for a reply's reasoning"):
        label(loaded, Sample("a", (*asked, assistant("Good.", reasoning="R."))))


def test_a_space_that_would_join_the_first_word_stays_the_prompts(base):
    """Where a word begins with its space, the text "ASSISTANT: " and "ASSISTANT: yes" have another token at its end."""
    loaded = dataclasses.replace(templates.SHAPES["mistral"].loaded(base), name="space")
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role | upper + ': ' + m.content + ('</s>' if m.role == 'assistant' else ' ') }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
    )
    asked = (user("is it yes"),)
    prompt = generation_prompt(loaded, asked)
    whole = encode_row(loaded, (*asked, assistant("yes")), add_generation_prompt=False).ids
    assert whole[: len(prompt)] != prompt  # what the tolerance of two tokens was for
    (row,) = label(loaded, Sample("a", (*asked, assistant("yes"))))
    assert row.row.ids[: len(prompt)] == prompt and learned(loaded, row) == "yes</s>"


def test_replies_that_are_trained_apart_are_counted_and_said(base, tmp_path, capsys):
    loaded = templates.SHAPES["qwen3"].loaded(base)
    messages = (user("A?"), assistant("One.", reasoning="First."), user("B?"), assistant("Two.", reasoning="Second."))
    rows = [Sample("long", messages), Sample("short", messages[2:])]
    loaded.model.resize_token_embeddings(len(loaded.tokenizer))
    config = TrainConfig(epochs=1, batch_size=2, lora_rank=2, lora_alpha=4, precision="fp32")
    result = fit(loaded, rows, SFT(), config, tmp_path)
    expected = sum(token != IGNORED for row in rows for one in label(loaded, row) for token in one.labels[1:])
    assert (result.rows, result.n_apart, result.labelled_tokens) == (2, 1, expected)
    assert "replies of 1 multi-turn" in capsys.readouterr().err


def test_preferences_are_about_the_last_reply_only(base):
    """Two replies give two sequences under a template that rewrites history too."""
    loaded = templates.SHAPES["qwen3"].loaded(base)
    pair = Pair("p", (user("A?"), assistant("One.", reasoning="First."), user("B?")), "Two.", "Three.")
    chosen, rejected = DPO().encode(loaded, pair, None)
    assert "Two." in learned(loaded, chosen) and "Three." in learned(loaded, rejected)
    assert "One." not in learned(loaded, chosen) + learned(loaded, rejected)
