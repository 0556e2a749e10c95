"""Chat templates and tokenizers with the traits of the real families, each written here and no longer than the trait.

shape = SHAPES["qwen3"]; loaded = shape.loaded(base)   # base: a tiny text model; its weights are not asked

The families differ in what matters for labels and replies: which token ends a turn and whether it is a named one,
whether history is rewritten, who opens a thought, and what stands behind the last turn. Tokenizers are byte-level, or
SentencePiece-like where the family's are.
"""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import tiny
from counterpoise.models import Loaded

_CHATML = "{{ '<|im_start|>' + m.role + '\n' }}"
_GENERATE = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


@dataclass(frozen=True)
class Shape:
    """One family."""

    name: str
    template: str
    special: tuple[str, ...]
    """Special tokens; `named` says which of them have a name (and so stand in `all_special_ids`)."""
    named: dict[str, str]
    added: tuple[str, ...] = ()
    """Added tokens that are not marked special."""
    end: str = ""
    """How a reply ends: what is learned behind it."""
    before: str = ""
    """What the model itself writes before a reply without reasoning."""
    thought: str = ""
    """What it writes before a reply with the reasoning "R."; empty: it has no place for one."""
    rewrites: bool = False
    """History is not what the model was prompted with."""
    sentencepiece: bool = False
    rstrip: bool = False
    """Its special tokens swallow the white space behind them."""

    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer
        from transformers import AddedToken, PreTrainedTokenizerFast

        made = _metaspace() if self.sentencepiece else tiny._trained()
        tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(made), padding_side="left")
        tok.add_tokens([AddedToken(t, special=True, normalized=False, rstrip=self.rstrip) for t in self.special])
        tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in self.added])
        tok.add_special_tokens({name: _added(t, self.rstrip) for name, t in self.named.items()})
        tok.chat_template = self.template
        return tok

    def loaded(self, base: Loaded) -> Loaded:
        return dataclasses.replace(base, name=self.name, tokenizer=self.tokenizer(), processor=None, is_vlm=False)


def _added(token: str, rstrip: bool) -> Any:
    from transformers import AddedToken

    return AddedToken(token, special=True, normalized=False, rstrip=rstrip)


def _metaspace() -> str:
    """Spaces as part of words, and one put before the text: a stand-in for SentencePiece, as JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    lines = ["USER ASSISTANT what is printed in the picture", "please answer the question about this image: yes."] * 9
    letters = [*map(chr, range(33, 127)), "\n", "▁"]
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return str(tokenizer.to_str())


_LIST = [
    Shape(
        "llama3",
        "{{ bos_token }}{% if messages[0].role != 'system' %}"
        "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday is a day.<|eot_id|>' }}{% endif %}"
        "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
        "{{ m.content | trim }}{{ '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        end="<|eot_id|>",
    ),
    Shape(
        "qwen2.5",
        "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
        "{% if tools %}{{ 'Call them in <tool_call></tool_call>.' }}{% endif %}"
        "{% for m in messages %}" + _CHATML + "{{ m.content + '<|im_end|>\n' }}{% endfor %}" + _GENERATE,
        ("<|im_start|>",),
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        added=("<tool_call>", "</tool_call>"),
        end="<|im_end|>",
    ),
    Shape(
        "qwen3",  # thoughts before the last question are dropped; the last reply always has one, be it empty
        "{% set n = namespace(last=0) %}{% for m in messages %}"
        "{% if m.role == 'user' %}{% set n.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}{% set text = m.content %}{% set why = m.reasoning_content or '' %}"
        "{% if '</think>' in text %}{% set why = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
        "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}" + _CHATML + "{% if m.role == 'assistant' "
        "and loop.index0 > n.last %}{{ '<think>\n' + why.strip('\n') + '\n</think>\n\n' }}{% endif %}"
        "{{ text + '<|im_end|>\n' }}{% endfor %}" + _GENERATE,
        ("<|im_start|>",),
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        added=("<think>", "</think>"),
        end="<|im_end|>",
        before="<think>\n\n</think>\n\n",
        thought="<think>\nR.\n</think>\n\n",
        rewrites=True,
    ),
    Shape(
        "qwen3-thinking",  # the generation prompt opens the thought
        "{% for m in messages %}" + _CHATML + "{% if m.role == 'assistant' and loop.last %}"
        "{{ '<think>\n' + (m.reasoning_content or '') + '\n</think>\n\n' }}{% endif %}"
        "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}",
        ("<|im_start|>",),
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        added=("<think>", "</think>"),
        end="<|im_end|>",
        before="\n</think>\n\n",
        thought="R.\n</think>\n\n",
        rewrites=True,
    ),
    Shape(
        "gemma3",  # no system role; the turn's tokens are special and have no name
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
        "{{ m.content | trim }}{{ '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<start_of_turn>", "<end_of_turn>"),
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
        end="<end_of_turn>",
    ),
    Shape(
        "phi3.5",  # the turn's tokens swallow line breaks; the end of text stands behind the last turn only
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        {"bos_token": "<s>", "eos_token": "<|endoftext|>"},
        end="<|end|>",
        rstrip=True,
    ),
    Shape(
        "mistral",  # the system message goes into the last question
        "{{ bos_token }}{% set first = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}"
        "{{ '[INST]' }}{% if loop.revindex <= 2 and first and (loop.last or loop.revindex == 2) %}"
        "{{ first + '\n\n' }}{% endif %}{{ m.content + '[/INST]' }}"
        "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
        ("[INST]", "[/INST]"),
        {"bos_token": "<s>", "eos_token": "</s>"},
        end="</s>",
        before=" ",
        sentencepiece=True,
    ),
    Shape(
        "deepseek-r1",  # the prompt opens the thought, no rendered turn shows one
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
        "{% elif m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
        "{% else %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}",
        (),
        {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        added=("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"),
        end="<｜end▁of▁sentence｜>",
        before="\n</think>\n\n",
        thought="R.\n</think>\n\n",
        rewrites=True,
    ),
    Shape(
        "cohere",  # tokens of their own around thought and reply; two tokens end a turn
        "{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}{% if m.role == 'assistant' %}"
        "{{ '<|CHATBOT_TOKEN|>' }}{% if m.thinking %}{{ '<|START_THINKING|>' + m.thinking + '<|END_THINKING|>' }}"
        "{% endif %}{{ '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' }}"
        "{% else %}{{ '<|' + m.role | upper + '_TOKEN|>' + m.content }}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
        ("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>", "<|SYSTEM_TOKEN|>"),
        {"bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>"},
        added=("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        end="<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
        before="<|START_RESPONSE|>",
        thought="<|START_THINKING|>R.<|END_THINKING|><|START_RESPONSE|>",
    ),
    Shape(
        "lfm2",  # thoughts are part of the content, and dropped from all turns but the last reply
        "{{ bos_token }}{% for m in messages %}{% set text = m.content %}"
        "{% if m.role == 'assistant' and not loop.last and '</think>' in text %}"
        "{% set text = text.split('</think>')[-1] | trim %}{% endif %}" + _CHATML + "{{ text + '<|im_end|>\n' }}"
        "{% endfor %}" + _GENERATE,
        ("<|im_start|>",),
        {"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"},
        added=("<think>", "</think>"),
        end="<|im_end|>",
        thought="<think>\nR.\n</think>\n\n",
    ),
    Shape(
        "magistral",  # markers are special tokens, and part of the content
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
        "{% elif m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
        ("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"),
        {"bos_token": "<s>", "eos_token": "</s>"},
        end="</s>",
        thought="[THINK]R.[/THINK]",
    ),
    Shape(
        "gpt-oss",  # channels; a thought ends with the token that ends earlier turns
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% if m.thinking and loop.last %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking }}"
        "{{ '<|end|>' }}{% endif %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
        "{{ '<|return|>' if loop.last else '<|end|>' }}"
        "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>"),
        {"bos_token": "<|startoftext|>", "eos_token": "<|return|>", "pad_token": "<|endoftext|>"},
        end="<|return|>",
        before="<|channel|>final<|message|>",
        thought="<|channel|>analysis<|message|>R.<|end|><|start|>assistant<|channel|>final<|message|>",
        rewrites=True,
    ),
    Shape(
        "gemma4",  # one channel for thoughts
        "{{ bos_token }}{% for m in messages %}{{ '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
        "{% if m.reasoning and loop.last %}{{ '<|channel>thought\n' + m.reasoning + '\n<channel|>' }}{% endif %}"
        "{{ m.content + '<turn|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}",
        ("<|turn>", "<turn|>", "<|channel>", "<channel|>"),
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
        end="<turn|>",
        thought="<|channel>thought\nR.\n<channel|>",
    ),
]
SHAPES = {shape.name: shape for shape in _LIST}

# Vision-language families: templates for the processors of tests/tiny.py.
LLAVA15 = (  # "llava": no token closes a turn
    "{% for m in messages %}{{ m.role | upper + ': ' if m.role != 'assistant' else 'ASSISTANT: ' }}"
    "{% for p in m.content if p.type == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}{{ ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
IDEFICS3 = (  # "smolvlm": the space behind a role depends on what follows it
    "{{ '<|im_start|>' }}{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
STRINGS = (  # a tokenizer's template, for text alone
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" + _GENERATE
)


def saying(loaded: Loaded, start: int, ids: list[int]) -> Loaded:
    """The model with weights such that behind the token `start` it says exactly `ids`: the same architecture, whose
    layers add nothing and whose output layer leads from each token to the next. No token may occur twice."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    chain = [start, *ids]
    assert len(set(chain)) == len(chain)
    config = LlamaConfig(
        vocab_size=len(loaded.tokenizer), hidden_size=64, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=4, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1.0)
        for place, (token, following) in enumerate(itertools.pairwise(chain)):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[following, place] = 1.0
    model.generation_config.eos_token_id = loaded.tokenizer.eos_token_id
    return dataclasses.replace(loaded, model=model, name=f"says {len(ids)} tokens")
