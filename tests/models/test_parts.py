"""The parts of real architectures, and that they are what their names say."""

import re
from typing import NamedTuple

import pytest
import torch
from architectures import hollow
from peft import LoraConfig, get_peft_model

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import (
    connector_modules,
    encode,
    language_root,
    load,
    lora_targets,
    output_layer,
    target_regex,
    vision_root,
)


class Parts(NamedTuple):
    language: str
    vision: str | None
    connector: tuple[str, ...]
    targets: int
    head: str = "lm_head"


LLAVA = Parts("model.language_model", "model.vision_tower", ("model.multi_modal_projector",), 14)
IDEFICS = Parts("model.text_model", "model.vision_model", ("model.connector",), 14)
QWEN = Parts("model.language_model", "model.visual", ("model.visual.merger",), 14)
DEEPSTACK = tuple(f"model.visual.deepstack_merger_list.{n}" for n in range(3))
EXPECTED = {
    "llava": LLAVA,
    "llava_next": LLAVA,
    "llava_onevision": LLAVA,
    "internvl": LLAVA,
    "gemma3": LLAVA,
    "paligemma": LLAVA,
    "lfm2_vl": LLAVA,
    "mistral3": LLAVA,
    "idefics3": IDEFICS,
    "smolvlm": IDEFICS,
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN._replace(connector=(*QWEN.connector, *DEEPSTACK)),
    "glm4v": QWEN._replace(targets=12),
    "mllama": LLAVA._replace(vision="model.vision_model"),
    "gemma4": LLAVA._replace(connector=("model.embed_vision",), targets=19),
    "janus": LLAVA._replace(vision="model.vision_model", connector=("model.aligner",)),
    "deepseek_vl": LLAVA._replace(vision="model.vision_model", connector=("model.aligner",)),
    "deepseek_vl_hybrid": LLAVA._replace(
        vision="model.vision_model",
        connector=("model.high_res_vision_neck", "model.high_res_vision_proj", "model.aligner"),
    ),
    "llama4": Parts("language_model", "vision_model", ("multi_modal_projector",), 14, "language_model.lm_head"),
    "blip-2": Parts("language_model", "vision_model", ("qformer", "language_projection"), 12, "language_model.lm_head"),
    "kosmos-2": Parts("text_model", "vision_model", ("image_to_text_projection",), 12, "text_model.lm_head"),
    "gpt2": Parts("transformer", None, (), 8),
    "phi": Parts("model", None, (), 12),
    "phi3": Parts("model", None, (), 8),
    "mistral": Parts("model", None, (), 14),
    "lfm2": Parts("model", None, (), 14),
}


@pytest.mark.parametrize("arch", EXPECTED)
def test_parts_of_real_architectures(arch):
    model = hollow(arch)
    paths = lora_targets(model)
    found = Parts(
        language_root(model), vision_root(model), tuple(connector_modules(model)), len(paths), output_layer(model) or ""
    )
    assert found == EXPECTED[arch]
    inside = tuple(f"{part}." for part in (found.vision, *found.connector) if part)
    assert not any(path.startswith(inside) or path == found.head for path in paths)
    assert all(path.startswith(f"{found.language}.") for path in paths)


@pytest.mark.parametrize("arch", EXPECTED)
def test_targets_are_layers_that_peft_can_adapt_and_no_others_get_factors(arch):
    """A router that only inherits from nn.Linear returns a pair: with factors on it Llama 4's forward pass fails."""
    model = hollow(arch)
    paths = lora_targets(model)
    adapted = get_peft_model(model, LoraConfig(target_modules=target_regex(paths), task_type="CAUSAL_LM"))
    assert adapted.targeted_module_names == paths
    again = lora_targets(adapted)  # the same with factors on, from the PeftModel as from the model inside it
    assert again == lora_targets(adapted.get_base_model()) == paths
    assert connector_modules(adapted) == list(EXPECTED[arch].connector)
    body = adapted.get_base_model().get_submodule(EXPECTED[arch].language)
    body(input_ids=torch.zeros((1, 4), dtype=torch.long, device="meta"))


@pytest.mark.parametrize("arch", [arch for arch, parts in EXPECTED.items() if parts.vision])
def test_vision_and_connector_are_adapted_only_when_asked_for(arch):
    model, parts = hollow(arch), EXPECTED[arch]
    language = set(lora_targets(model))
    sees = set(lora_targets(model, include_vision=True)) - language
    assert sees and not any(path.startswith(parts.connector) for path in sees)
    if arch in ("gemma3",):  # its connector multiplies with a bare parameter
        with pytest.raises(InputError, match=r"its connector \(model\.multi_modal_projector\) has no linear layers"):
            lora_targets(model, include_connector=True)
        return
    between = set(lora_targets(model, include_connector=True)) - language
    assert between and all(path.startswith(parts.connector) for path in between)
    assert set(lora_targets(model, include_vision=True, include_connector=True)) == language | sees | between


@pytest.mark.parametrize("arch", (*tiny.VLMS, *tiny.QWEN))
def test_the_connector_is_all_that_images_pass_through(arch, tmp_path):
    """With its weights at zero two different pictures give the same logits, and every one of its modules is needed."""
    loaded = load(str(tiny.build(arch, tmp_path)), dtype="float32", device="cpu")
    parts = [loaded.model.get_submodule(path) for path in connector_modules(loaded.model)]

    def difference() -> float:
        rows = [(user(Image.from_pil(tiny.picture(seed)), "what is printed?"),) for seed in (1, 2)]
        inputs = encode(loaded, rows, add_generation_prompt=True, padding_side="left")
        with torch.inference_mode():
            one, two = loaded.model(**inputs).logits[:, -1]
        return float((one - two).abs().max())

    assert difference() > 1e-3
    for part in parts:
        kept = {name: value.clone() for name, value in part.state_dict().items()}
        for value in part.parameters():
            value.data.zero_()
        if len(parts) > 1:
            assert difference() > 1e-3
            part.load_state_dict(kept)
    for part in parts:
        for value in part.parameters():
            value.data.zero_()
    assert difference() == 0


@pytest.mark.parametrize("arch", ["git", "idefics"])
def test_an_encoder_inside_the_language_model_is_refused(arch):
    with pytest.raises(InputError, match=re.compile("its vision encoder .* is part of its language model")):
        lora_targets(hollow(arch))
