"""Tiny random-weight models of real architectures, built offline in under a second and saved as ordinary folders.

build("smolvlm", tmp_path / "m")   # or any name of ARCHITECTURES and QWEN

Each has a byte-level tokenizer (any text round-trips), a ChatML-like template that supports image parts and marks the
assistant's tokens, 32 px images and weights large enough that images and prompts change the output. "smolvlm" is of the
same kind as the pocket model: Idefics3 without image splitting. They know nothing and say gibberish.
"""

import functools
import random
from pathlib import Path
from typing import Any

ARCHITECTURES = ("llava", "llava_onevision", "smolvlm", "internvl", "gemma3", "llama")
VLMS = ARCHITECTURES[:-1]
QWEN = ("qwen2_5_vl", "qwen3_vl")
HYBRID = ("lfm2", "qwen3_next")
"""Their cache holds convolution or linear-attention states beside keys."""
SIDE = 32
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% set parts = message['content'] %}"
    "{% if parts is string %}{% set parts = [{'type': 'text', 'text': parts}] %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in parts %}{{ part['text'] }}{% endfor %}{{ '<|im_end|>' }}"
    "{% endgeneration %}{{ '\n' }}"
    "{% else %}"
    "{% for part in parts %}{% if part['type'] == 'image' %}{{ 'IMAGE' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 8,
    "initializer_range": 0.3,
}


@functools.cache
def _trained() -> str:
    """A byte-level BPE of about 400 tokens, as JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    lines = ["user assistant system what is printed in the picture", "please answer the question about this image"] * 9
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    return str(tokenizer.to_str())


def tokenizer(**extra: str) -> Any:
    """The tokenizer; `extra` names further special tokens, e.g. image_token="<image>"."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=extra,
        padding_side="left",
        model_max_length=2048,
    )


def _text(cls: Any, tok: Any, **more: Any) -> Any:
    ids = {"eos_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id, "bos_token_id": tok.bos_token_id}
    return cls(**{**TEXT, **ids, "vocab_size": len(tok), **more})


def _video_free(cls: Any) -> Any:
    from counterpoise.models._processor import image_only

    return image_only(cls)


def _template(image: str) -> str:
    return TEMPLATE.replace("IMAGE", image)


def _llava() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer(image_token="<image>")
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor = t.LlavaProcessor(
        t.CLIPImageProcessorPil(**size),
        tok,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template("<image>"),
    )
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**VISION, projection_dim=32),
        text_config=_text(t.LlamaConfig, tok),
        image_token_id=tok.image_token_id,
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    return t.LlavaForConditionalGeneration(config), processor


def _llava_onevision() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer(image_token="<image>", video_token="<video>")
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    processor = _video_free(t.LlavaOnevisionProcessor)(
        t.LlavaOnevisionImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=grid),
        tok,
        None,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_template("<image>"),
    )
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(t.Qwen2Config, tok),
        image_token_id=tok.image_token_id,
        video_token_id=tok.video_token_id,
        image_grid_pinpoints=grid,
        tie_word_embeddings=False,
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def _smolvlm() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer(
        image_token="<image>", fake="<fake_token_around_image>", end="<end_of_utterance>", whole="<global-img>"
    )
    images = t.Idefics3ImageProcessorPil(
        do_image_splitting=False, size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    processor = t.Idefics3Processor(images, tok, image_seq_len=4, chat_template=_template("<image>\n"))
    config = t.Idefics3Config(
        scale_factor=2,
        vision_config=VISION,
        text_config=_text(t.LlamaConfig, tok).to_dict(),
        image_token_id=processor.image_token_id,
        tie_word_embeddings=False,
        pad_token_id=tok.pad_token_id,
    )
    return t.Idefics3ForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    images = t.GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, crop_to_patches=True, max_patches=4)
    processor = _video_free(t.InternVLProcessor)(
        images, tok, None, image_seq_length=4, chat_template=_template("<IMG_CONTEXT>\n")
    )
    vision = {**VISION, "image_size": [SIDE, SIDE], "patch_size": [8, 8]}
    config = t.InternVLConfig(
        vision_config=t.InternVLVisionConfig(**vision),
        text_config=_text(t.Qwen2Config, tok),
        image_token_id=tok.context_image_token_id,
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    return t.InternVLForConditionalGeneration(config), processor


def _gemma3() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    images = t.Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor = t.Gemma3Processor(images, tok, image_seq_length=4, chat_template=_template("<start_of_image>"))
    layers = ["sliding_attention", "full_attention"]
    config = t.Gemma3Config(
        vision_config=t.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(t.Gemma3TextConfig, tok, head_dim=8, sliding_window=24, layer_types=layers),
        mm_tokens_per_image=4,
        image_token_id=tok.image_token_id,
        boi_token_id=tok.boi_token_id,
        eoi_token_id=tok.eoi_token_id,
        tie_word_embeddings=False,
    )
    model = t.Gemma3ForConditionalGeneration(config)
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_(0, 0.3)  # zero in a fresh model
    return model, processor


def _qwen(version: str) -> tuple[Any, Any]:
    """Qwen2.5-VL or Qwen3-VL; images only, so that neither needs torchvision."""
    import transformers as t

    tok = tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_bos_token="<|vision_start|>",
        vision_eos_token="<|vision_end|>",
    )
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    vision = {"depth": 2, "num_heads": 4, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "initializer_range": 0.3}
    ids = {
        "image_token_id": tok.image_token_id,
        "video_token_id": tok.video_token_id,
        "vision_start_token_id": tok.vision_bos_token_id,
        "vision_end_token_id": tok.vision_eos_token_id,
        "tie_word_embeddings": False,
    }
    images = t.Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 16 * 16, "longest_edge": SIDE * SIDE}
    )
    template = _template("<|vision_start|><|image_pad|><|vision_end|>")
    if version == "2.5":
        processor = _video_free(t.Qwen2_5_VLProcessor)(images, tok, chat_template=template)
        vision |= {"window_size": 16, "fullatt_block_indexes": [1]}
        text = _text(t.Qwen2_5_VLTextConfig, tok, rope_parameters=rope).to_dict()
        config = t.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
        return t.Qwen2_5_VLForConditionalGeneration(config), processor
    processor = _video_free(t.Qwen3VLProcessor)(images, tok, chat_template=template)
    vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    text = _text(t.Qwen3VLTextConfig, tok, rope_parameters=rope, head_dim=8).to_dict()
    config = t.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
    return t.Qwen3VLForConditionalGeneration(config), processor


def _llama() -> tuple[Any, Any]:
    import transformers as t

    tok = tokenizer()
    tok.chat_template = _template("")
    return t.LlamaForCausalLM(_text(t.LlamaConfig, tok)), tok


def _lfm2() -> tuple[Any, Any]:
    """Convolutions beside attention: a cache of two kinds of layers."""
    import transformers as t

    tok = tokenizer()
    tok.chat_template = _template("")
    layers = ["conv", "full_attention", "conv"]
    return t.Lfm2ForCausalLM(_text(t.Lfm2Config, tok, num_hidden_layers=3, layer_types=layers)), tok


def _qwen3_next() -> tuple[Any, Any]:
    """Linear attention (gated delta net) beside attention."""
    import transformers as t

    tok = tokenizer()
    tok.chat_template = _template("")
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 8}
    experts |= {"shared_expert_intermediate_size": 32, "linear_value_head_dim": 8}
    layers = ["linear_attention", "full_attention"]
    return t.Qwen3NextForCausalLM(_text(t.Qwen3NextConfig, tok, layer_types=layers, **linear, **experts)), tok


_MAKERS = {
    "lfm2": _lfm2,
    "qwen3_next": _qwen3_next,
    "llava": _llava,
    "llava_onevision": _llava_onevision,
    "smolvlm": _smolvlm,
    "internvl": _internvl,
    "gemma3": _gemma3,
    "llama": _llama,
    "qwen2_5_vl": lambda: _qwen("2.5"),
    "qwen3_vl": lambda: _qwen("3"),
}


def build(arch: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny fp32 model of `arch` and its processor into `folder` and return it. Another seed, other weights."""
    import torch
    import transformers as t

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = _MAKERS[arch]()
    tok = getattr(processor, "tokenizer", processor)
    model.generation_config.eos_token_id = tok.eos_token_id
    model.generation_config.pad_token_id = tok.pad_token_id
    t.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


DUAL = ("clip", "siglip")


def build_dual(arch: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny dual encoder, with its processor, into `folder` and return it."""
    import torch
    import transformers as t

    tok = tokenizer()
    tok.padding_side = "right"
    text = {
        name: TEXT[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    }
    text |= {"vocab_size": len(tok), "max_position_embeddings": 64, "pad_token_id": tok.pad_token_id}
    text |= {"eos_token_id": tok.eos_token_id, "bos_token_id": tok.bos_token_id}
    size = {"height": SIDE, "width": SIDE}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if arch == "clip":
            images: Any = t.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size)
            config = t.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)
            model, processor = t.CLIPModel(config), t.CLIPProcessor(images, tok)
        else:
            tok.eos_token = tok.pad_token  # SigLIP ends a text with the token that it pads with
            images = t.SiglipImageProcessorPil(size=size)
            config = t.SiglipConfig(text_config=text | {"eos_token_id": tok.pad_token_id}, vision_config=VISION)
            model, processor = t.SiglipModel(config), t.SiglipProcessor(images, tok)
        for parameter in model.parameters():  # what the library initialises barely changes an output
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    t.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def picture(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Any:
    """A PIL image of random coloured blocks."""
    from PIL import Image

    rng = random.Random(seed)
    small = Image.new("RGB", (6, 5))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(30)])
    return small.resize(size, Image.Resampling.NEAREST)
