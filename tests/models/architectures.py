"""Models of many architectures without weights (PyTorch's meta device): shapes and structure of the real classes.

hollow("llama4")   # the architecture's default sizes, two layers; built in well under a second, no memory
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

import tiny

DEPTHS = ("num_hidden_layers", "depth", "n_layer", "num_layers")


def hollow(model_type: str) -> Any:
    """The architecture with two layers per stack, on the meta device."""
    config = _gemma4() if model_type == "gemma4" else AutoConfig.for_model(model_type)
    _shorten(config)
    if model_type == "glm4v":  # as in its checkpoints; the default does not fit the sections of its positions
        config.text_config.rope_parameters["partial_rotary_factor"] = 0.5
    vlm = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    with torch.device("meta"):
        return (AutoModelForImageTextToText if vlm else AutoModelForCausalLM).from_config(config)


def _gemma4() -> Any:
    """With eyes and ears, which its default configuration lacks."""
    parts = {
        name: getattr(transformers, f"Gemma4{name.title()}Config")(num_hidden_layers=2)
        for name in ("vision", "text", "audio")
    }
    return transformers.Gemma4Config(**{f"{name}_config": config for name, config in parts.items()})


def _shorten(config: Any) -> None:
    for part in list(vars(config).values()):
        if isinstance(part, transformers.PretrainedConfig):
            _shorten(part)
    for name in DEPTHS:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, 2)
    for name in ("layer_types", "mlp_layer_types"):
        if getattr(config, name, None):
            setattr(config, name, list(getattr(config, name))[:2])


def build_paligemma(folder: Path) -> Path:
    """A tiny PaliGemma, saved with its processor, which adds `labels` to whatever it is asked."""
    tok = tiny.tokenizer(image_token="<image>")
    images = transformers.SiglipImageProcessorPil(size={"height": tiny.SIDE, "width": tiny.SIDE})
    images.image_seq_length = 16
    template = tiny.TEMPLATE.replace("IMAGE", "<image>")
    processor = transformers.PaliGemmaProcessor(images, tok, chat_template=template)
    tok = processor.tokenizer  # with the tokens of places and segments that it adds
    text = {**tiny.TEXT, "vocab_size": len(tok), "head_dim": 8, "pad_token_id": tok.pad_token_id}
    config = transformers.PaliGemmaConfig(
        vision_config=transformers.SiglipVisionConfig(**tiny.VISION, vision_use_head=False, projection_dim=32),
        text_config=transformers.GemmaConfig(**text),
        image_token_id=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.PaliGemmaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tok.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
