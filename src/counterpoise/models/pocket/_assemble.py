"""Put the pocket together: language model + shipped vision tower and connector + shipped alignment (LoRA, merged)."""

import os
import shutil
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, sha256_file, write_json

from ._language_model import language_model
from ._processor import processor

PARTS = Path(__file__).parent / "parts"
VERSION = "1"
VISION = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "image_size": 224,
    "patch_size": 16,
}
# What `align` uses on this model instead of the paper's defaults for 7B models; read from the model's folder.
ALIGN_DEFAULTS: dict[str, Any] = {
    "lora_rank": 16,
    "lora_alpha": 32,
    "learning_rate": 3e-4,
    "epochs": 1,
    "batch_size": 16,
    "n_rejection": 200,
    "n_benign": 500,
}


def cache_root() -> Path:
    return Path(os.environ.get("COUNTERPOISE_CACHE", Path.home() / ".cache" / "counterpoise"))


def parts_key() -> str:
    """Short hash of the shipped parts: a new part makes a new folder."""
    files = sorted(PARTS.glob("*.safetensors"))
    return "-".join([VERSION, *(sha256_file(file)[:6] for file in files)])


def pocket_folder() -> Path:
    """Where `ensure()` puts the assembled model."""
    return cache_root() / f"pocket-{parts_key()}"


def is_cached() -> bool:
    return (pocket_folder() / "config.json").is_file()


def ensure() -> Path:
    """The folder of the assembled pocket model; assembles it on first use (about 20 seconds)."""
    folder = pocket_folder()
    if is_cached():
        return folder
    tower = PARTS / "tower.safetensors"
    if not tower.is_file():
        raise InputError(f"pocket: {tower} is missing from this installation; install the package again")
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "pocket.lock"):  # the second of two commands waits and finds it done
        if not is_cached():
            assemble(folder, tower, adapter=PARTS / "alignment.safetensors")
    return folder


def assemble(folder: Path, tower: Path, adapter: Path | None = None) -> Path:
    """Build the model from its parts and save it as an ordinary folder.

    `tower` holds `vision.*` and `connector.*`; `adapter` holds LoRA factors `<module path>.A` and `.B` (already
    scaled) of the language model and replaces connector tensors, and may be absent. Raises InputError when a tensor
    of a part does not fit.
    """
    import torch
    from transformers import AutoModelForCausalLM, Idefics3Config, Idefics3ForConditionalGeneration

    lm_folder = language_model(cache_root() / "smollm2-135m-instruct")
    lm = AutoModelForCausalLM.from_pretrained(lm_folder, dtype=torch.float32)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    made = processor(lm_folder, part)
    tokenizer = made.tokenizer
    drop = {"transformers_version", "architectures", "_name_or_path", "dtype"}
    text = {k: v for k, v in lm.config.to_dict().items() if k not in drop} | {"pad_token_id": tokenizer.pad_token_id}
    config = Idefics3Config(
        scale_factor=2,
        text_config=text,
        vision_config=VISION,
        image_token_id=made.image_token_id,
        tie_word_embeddings=True,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.model.text_model.load_state_dict(lm.model.state_dict())
    model.tie_weights()
    load_parts(model, tower, adapter)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(part)
    made.save_pretrained(part)
    write_json(part / "counterpoise.json", {"name": "pocket", "version": VERSION, "align_defaults": ALIGN_DEFAULTS})
    card = PARTS.with_name("README.md")
    if card.is_file():
        shutil.copyfile(card, part / "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def load_parts(model: Any, tower: Path, adapter: Path | None) -> None:
    """Copy the tower and the connector into the model, then merge the alignment factors."""
    import torch
    from safetensors.torch import load_file

    places = {"vision": model.model.vision_model, "connector": model.model.connector}
    state = load_file(tower)
    for name, module in places.items():
        own = {k.removeprefix(name + "."): v.float() for k, v in state.items() if k.startswith(name + ".")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(
                f"{tower}: does not fit the pocket's {name} ({str(error).splitlines()[-1].strip()})"
            ) from error
    if adapter is None or not adapter.is_file():
        return
    factors = load_file(adapter)
    with torch.no_grad():
        for name in sorted({k.rpartition(".")[0] for k in factors if k.endswith(".A")}):
            weight = model.get_submodule(name).weight
            weight += factors[name + ".B"].float() @ factors[name + ".A"].float()
        for name in (k for k in factors if k.startswith("model.connector.")):
            model.get_parameter(name).copy_(factors[name].float())
