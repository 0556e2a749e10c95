"""Tiny random guards of the real architectures, with stand-in chat templates where the checkpoint's is the only one."""

from pathlib import Path
from typing import Any

import tiny

LLAMA_HEADERS = {"start": "<|start_header_id|>", "end": "<|end_header_id|>", "eot": "<|eot_id|>"}
QWEN3GUARD = (
    "{{ '<|im_start|>user\nLabel the last ' + messages[-1]['role'] + ' turn.\n<BEGIN CONVERSATION>\n' }}"
    "{% for m in messages %}{{ m['role'] + ': ' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}"
    "{% endif %}{{ '\n' }}{% endfor %}"
    "{{ '<END CONVERSATION>\nWrite Safety: and Categories:<|im_end|>\n<|im_start|>assistant\n' }}"
)
GRANITE = (
    "{{ '<|im_start|>Risk ' + guardian_config['risk_name'] + '. Answer Yes or No.\n' }}"
    "{% for m in messages[-2:] %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + ('developer' if m['role'] == 'system' else m['role']) + '<|message|>' }}"
    "{{ m['content'] }}{{ '<|im_end|>' if loop.last and m['role'] == 'assistant' else '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
"""As gpt-oss's: the last reply ends with a token of its own (there <|return|>), which ends generation."""
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{{ m['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""As Llama 3.1's: given a list of parts, it would print the list."""
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHIELDGEMMA = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{{ '\nDoes the image violate the policy? Yes or No.<|im_end|>\n<|im_start|>model\n' }}{% endfor %}"
)


def _mllama() -> tuple[Any, Any]:
    import transformers as t

    tok = tiny.tokenizer(image_token="<|image|>", python="<|python_tag|>", **LLAMA_HEADERS)
    size = {"height": tiny.SIDE, "width": tiny.SIDE}
    images = t.MllamaImageProcessorPil(size=size, max_image_tiles=4)
    processor = t.MllamaProcessor(images, tok, chat_template=tiny._template("<|image|>"))
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1,
        "attention_heads": 4, "vision_output_dim": 64, "image_size": tiny.SIDE, "patch_size": 8,
        "intermediate_layers_indices": [1], "initializer_range": 0.3,
    }  # fmt: skip
    text = tiny._text(t.MllamaTextConfig, tok, num_hidden_layers=4, cross_attention_layers=[1, 3])
    config = t.MllamaConfig(vision_config=t.MllamaVisionConfig(**vision), text_config=text,
                            image_token_index=tok.image_token_id)  # fmt: skip
    model = t.MllamaForConditionalGeneration(config)
    import torch

    for name, parameter in model.named_parameters():  # gates start at 0: images would change nothing
        if "gate" in name and parameter.numel() == 1:
            torch.nn.init.constant_(parameter, 1.0)
    return model, processor


def _shieldgemma2() -> tuple[Any, Any]:
    import transformers as t

    inner, made = tiny._gemma3()
    parts = inner.config
    config = t.ShieldGemma2Config(
        vision_config=parts.vision_config, text_config=parts.text_config,
        mm_tokens_per_image=4, image_token_index=made.tokenizer.image_token_id,
        boi_token_index=made.tokenizer.boi_token_id, eoi_token_index=made.tokenizer.eoi_token_id,
    )  # fmt: skip
    processor = t.ShieldGemma2Processor(made.image_processor, made.tokenizer, SHIELDGEMMA, 4)
    return t.ShieldGemma2ForImageClassification(config), processor


def _text(name: str, config: str, template: str, **more: Any) -> tuple[Any, Any]:
    import transformers as t

    tok = tiny.tokenizer(**more.pop("tokens", {}))
    tok.chat_template = template or None
    made = tiny._text(getattr(t, config), tok, **more)
    return getattr(t, name)(made), tok


MAKERS: dict[str, Any] = {
    "mllama": _mllama,
    "shieldgemma2": _shieldgemma2,
    "qwen3": lambda: _text("Qwen3ForCausalLM", "Qwen3Config", QWEN3GUARD, head_dim=8),
    "granite": lambda: _text("GraniteForCausalLM", "GraniteConfig", GRANITE),
    "mistral": lambda: _text("MistralForCausalLM", "MistralConfig", "", sliding_window=None),
    "llama3": lambda: _text("LlamaForCausalLM", "LlamaConfig", "", tokens=LLAMA_HEADERS),
    "llama31": lambda: _text("LlamaForCausalLM", "LlamaConfig", LLAMA3, tokens=LLAMA_HEADERS),
    "qwen2": lambda: _text("Qwen2ForCausalLM", "Qwen2Config", CHATML),
    "gpt_oss": lambda: _text(
        "GptOssForCausalLM", "GptOssConfig", HARMONY, head_dim=8, num_local_experts=2, num_experts_per_tok=1,
        sliding_window=64, layer_types=["sliding_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 150000.0},
        tokens={"start": "<|start|>", "end": "<|end|>", "message": "<|message|>", "channel": "<|channel|>",
                "returns": "<|return|>"},
    ),
    "llama4": lambda: _text(
        "Llama4ForCausalLM", "Llama4TextConfig", "", intermediate_size_mlp=64, num_local_experts=2, head_dim=8,
        attention_chunk_size=512, tokens={"start": "<|header_start|>", "end": "<|header_end|>", "eot": "<|eot|>"},
    ),
}  # fmt: skip
ARCHITECTURE = {
    "llama-guard-3": "llama3",
    "llama-guard-3-1b": "llama3",
    "llama-guard-3-vision": "mllama",
    "llama-guard-4": "llama4",
    "shieldgemma-2": "shieldgemma2",
    "llavaguard": "llava_onevision",
    "guardreasoner-vl": "qwen2_5_vl",
    "qwen3guard": "qwen3",
    "granite-guardian": "granite",
    "wildguard": "mistral",
    "nemotron": "llama31",
    "polyguard": "qwen2",
    "gpt-oss-safeguard": "gpt_oss",
}


def build(arch: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny fp32 model of `arch` into `folder` and return it."""
    if arch not in MAKERS:
        return tiny.build(arch, folder, seed=seed)
    import torch
    import transformers as t

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = MAKERS[arch]()
    tok = getattr(processor, "tokenizer", processor)
    inner = model.model if arch == "shieldgemma2" else model
    inner.generation_config.eos_token_id = tok.eos_token_id
    inner.generation_config.pad_token_id = tok.pad_token_id
    t.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
