"""What a checkpoint's `generation_config.json` would do to answers, and which of it our decoding leaves out."""

from typing import Any

from counterpoise.base import notice

# only where do_sample is on
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
# greedy or not
ALWAYS = (
    "do_sample",
    "num_beams",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "length_penalty",
    "exponential_decay_length_penalty",
    "min_length",
    "min_new_tokens",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "sequence_bias",
    "stop_strings",
    "guidance_scale",
    "penalty_alpha",
    "dola_layers",
    "watermarking_config",
    "token_healing",
)
COUNTS = ("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens", "top_k")


def generation_defaults(model: Any) -> dict[str, Any]:
    """Settings of the model's generation config that would change answers, by name.

    None of them is used: `Engine.generate` chooses the most probable token, or samples with the temperature and top_p
    of its `Decoding` alone. (The tokens that end a reply do come from there.) A vendor's repetition penalty would make
    the answers of two models, or of one model on two engines, incomparable.
    """
    config = model.generation_config
    names = (*ALWAYS, *SAMPLING) if config.do_sample else ALWAYS
    found = {name: getattr(config, name, None) for name in names}
    return {name: value for name, value in found.items() if not _neutral(name, value)}


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a reply, from the generation config and the tokenizer."""
    ends: set[int] = set()
    for value in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        ends |= set(value) if isinstance(value, list | tuple) else {value} if value is not None else set()
    return {int(end) for end in ends}


def say_defaults(name: str, defaults: dict[str, Any]) -> None:
    """One line about what is left out; nothing where there is nothing."""
    if defaults:
        listed = ", ".join(f"{key}={_short(value)}" for key, value in defaults.items())
        notice(
            f"{name}: its generation defaults are switched off ({listed}); answers are greedy unless asked otherwise"
        )


def _neutral(name: str, value: Any) -> bool:
    return not value or (value == 1 and not isinstance(value, bool) and name not in COUNTS)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
