"""Put the pocket together: language model + shipped vision tower and connector + shipped alignment (LoRA, merged)."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, atomic_write, notice, sha256_file, write_json

from ._language_model import language_model
from ._processor import processor

PARTS = Path(__file__).parent / "parts"
PRESETS = Path(__file__).parent / "align"
"""Settings of single methods that suit this model; every version's folder gets them."""
CARD = PARTS.with_name("README.md")
VERSION = "1"
ALIGNMENTS: dict[int, tuple[str, ...]] = {
    6: ("alignment.safetensors",),
    7: ("alignment.safetensors", "alignment7.safetensors"),
    8: ("alignment.safetensors", "alignment7.safetensors", "alignment8.safetensors"),
}
"""Alignment parts of each version that can be loaded, in the order in which they are merged. A later version is the one
it began from plus a small part of its own."""
DEFAULT = 8
"""What "pocket" is; "pocket:6" names one version for good."""
LANGUAGE_MODEL = "pocket:language-model"
"""Name of the language model that every pocket began from, before any of its alignment."""
VISION = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "image_size": 224,
    "patch_size": 16,
}
# What `align` uses on this model instead of the papers' defaults for 7B models; read from the model's folder. What
# suits one method alone is in `align/METHOD.yaml`, which is not part of the model's identity.
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


def language_folder() -> Path:
    """The folder of the language model that the pocket began from; converted on first use."""
    return language_model(cache_root() / "smollm2-135m-instruct")


def version_of(name: str) -> int | None:
    """The version that a model's name asks for: "pocket" is the default one, "pocket:6" the sixth; None for any other
    name. Raises InputError for a version that there is not."""
    head, colon, wanted = name.partition(":")
    if head != "pocket":
        return None
    if not colon:
        return DEFAULT
    known = {str(version): version for version in ALIGNMENTS}
    if wanted not in known:
        raise InputError.unknown("version of the pocket", wanted, list(known))
    return known[wanted]


def parts_of(version: int) -> list[Path]:
    """The alignment parts of a version."""
    return [PARTS / name for name in ALIGNMENTS[version]]


def parts_key(version: int = DEFAULT) -> str:
    """Short hash of the shipped parts of a version: a new part makes a new folder, for the versions that have it."""
    files = sorted([*parts_of(version), PARTS / "tower.safetensors"])
    return "-".join([VERSION, *(sha256_file(file)[:6] for file in files)])


def pocket_folder(version: int = DEFAULT) -> Path:
    """Where `ensure()` puts the assembled model."""
    return cache_root() / f"pocket-{parts_key(version)}"


def is_cached(version: int = DEFAULT) -> bool:
    return (pocket_folder(version) / "config.json").is_file()


def ensure(version: int = DEFAULT) -> Path:
    """The folder of the assembled pocket model; assembles it on first use (about 20 seconds)."""
    for part in (PARTS / "tower.safetensors", *parts_of(version)):
        if not part.is_file():
            raise InputError(f"pocket: {part} is missing from this installation; install the package again")
    folder = pocket_folder(version)
    if is_cached(version):
        place_texts(folder)
        return folder
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "pocket.lock"):  # the second of two commands waits and finds it done
        if not is_cached(version):
            assemble(folder, PARTS / "tower.safetensors", *parts_of(version))
    return folder


def place_texts(folder: Path) -> None:
    """Bring `align/` and the card of an assembled folder to what this version of the package ships. They change no
    answer, so a folder that was assembled before need not be assembled again. One that cannot be written keeps what it
    has, which is said."""
    shipped = {folder / PRESETS.name / file.name: file for file in PRESETS.glob("*.yaml")}
    for target, file in {**shipped, folder / CARD.name: CARD}.items():
        text = file.read_text(encoding="utf-8")
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        try:
            with atomic_write(target) as stream:
                stream.write(text)
        except (InputError, OSError) as error:
            notice(f"pocket: `align` uses other settings than this version ships, or its card is an old one: {error}")
            return


def assemble(folder: Path, tower: Path, *adapters: Path) -> Path:
    """Build the model from its parts and save it as an ordinary folder.

    `tower` holds `vision.*` and `connector.*`; each of `adapters` may hold LoRA factors `<module path>.A` and `.B`
    (already scaled) of the language model, which are added one after the other, and connector tensors, which replace
    those before. Raises InputError when a tensor of a part does not fit.
    """
    import torch
    from transformers import AutoModelForCausalLM, Idefics3Config, Idefics3ForConditionalGeneration

    lm_folder = language_folder()
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
    load_parts(model, tower, adapters)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(part)
    made.save_pretrained(part)
    write_json(part / "counterpoise.json", {"name": "pocket", "version": VERSION, "align_defaults": ALIGN_DEFAULTS})
    place_texts(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def load_parts(model: Any, tower: Path, adapters: Sequence[Path]) -> None:
    """Copy the tower and the connector into the model, then merge the factors of each alignment in turn."""
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
    for adapter in adapters:
        factors = load_file(adapter)
        try:
            with torch.no_grad():
                for name in sorted({k.rpartition(".")[0] for k in factors if k.endswith(".A")}):
                    weight = model.get_submodule(name).weight
                    weight += factors[name + ".B"].float() @ factors[name + ".A"].float()
                for name in (k for k in factors if k.startswith("model.connector.")):
                    model.get_parameter(name).copy_(factors[name].float())
        except (AttributeError, KeyError, RuntimeError) as error:
            raise InputError(f"{adapter}: does not fit the pocket ({str(error).splitlines()[0]})") from error
