"""From a name to a folder with weights: "pocket", a folder, or a Hugging Face id; and what identifies that folder."""

import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_json, sha256_bytes, sha256_file

_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.py"]
_SAMPLED_ABOVE = 4 << 30  # bytes; larger weights are hashed in samples


def find_folder(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Path:
    """The local folder of a model or an adapter; hub ids are taken from the cache, or downloaded with a line saying so.

    Raises InputError in one line when there is no such folder or id, or no network.
    """
    from counterpoise.models.pocket import LANGUAGE_MODEL, ensure, language_folder, version_of

    if name == LANGUAGE_MODEL:
        return language_folder()
    if (version := version_of(name)) is not None:
        return Path(ensure(version))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or folder.exists():
        raise InputError(
            f"{name}: no such model folder; give a folder with config.json and *.safetensors, "
            'a Hugging Face id such as "org/model", or "pocket"'
        )
    return _from_hub(name, revision, trust_remote_code)


def _from_hub(name: str, revision: str | None, code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    patterns = _FILES if code else _FILES[:-1]
    try:
        cached = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
        if any(cached.glob("*.safetensors")):
            return cached
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    sys.stderr.write(f"{name}: not in the local cache, downloading from huggingface.co\n")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, etag_timeout=10))
    except GatedRepoError as error:
        raise InputError(f"{name}: gated; accept its licence on huggingface.co and run `hf auth login`") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{name}: has no revision {revision!r}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(f"{name}: neither a folder here nor a model on huggingface.co") from error
    except (HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{name}: not in the local cache and huggingface.co cannot be reached; copy the model here and give its "
            f"folder, or set HF_HOME to a cache that holds it ({type(error).__name__})"
        ) from error


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def adapter_base(folder: Path) -> str:
    """The base model that an adapter folder names. Raises InputError when it names none."""
    config = read_json(folder / "adapter_config.json")
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not base:
        raise InputError(f"{folder}: adapter_config.json names no base model; give the model and --adapter {folder}")
    return str(base)


def check_weights(folder: Path, name: str) -> None:
    """Raises InputError unless the folder has a config and safetensors weights (pickle files are never loaded)."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{name}: {folder} has no config.json; give the folder that save_pretrained wrote")
    if not any(folder.glob("*.safetensors")):
        has_pickle = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        hint = "only pickle weights, which can run code; convert them to safetensors" if has_pickle else "no weights"
        raise InputError(f"{name}: {folder} has {hint} (looked for *.safetensors)")


def fingerprint(folder: Path, adapter: Path | None, settings: dict[str, Any]) -> str:
    """Twelve hex digits over weights, adapter, text and image settings. Equal folders in other places are equal."""
    parts: list[str] = [json.dumps(settings, sort_keys=True, default=str)]
    for place in (folder, adapter):
        if place is not None:
            names = sorted(p.name for p in place.iterdir() if p.suffix in (".safetensors", ".json", ".jinja", ".model"))
            parts += [f"{name}:{_identity(place / name)}" for name in names]
    return sha256_bytes("\n".join(parts).encode())[:12]


def weights_hash(folder: Path) -> str:
    """Twelve hex digits over the weights alone: equal whatever templates, settings or dtype they are used with."""
    files = sorted(folder.glob("*.safetensors"))
    return sha256_bytes("\n".join(f"{file.name}:{_identity(file)}" for file in files).encode())[:12]


def _identity(file: Path) -> str:
    """SHA-256 of a file. A file of the hub's cache is named by it; of a very large one samples are hashed. A file that
    is as it was is not read again: loading a model asks for its weights more than once."""
    real = file.resolve()
    if real.parent.name == "blobs" and len(real.name) == 64:
        return real.name
    at = real.stat()
    return _hashed(real, at.st_size, (at.st_ino, at.st_mtime_ns, at.st_ctime_ns))


@lru_cache(maxsize=1024)
def _hashed(real: Path, size: int, _: tuple[int, int, int]) -> str:
    if size <= _SAMPLED_ABOVE:
        return sha256_file(real)
    with real.open("rb") as stream:
        pieces = [stream.read(1 << 20)]
        for step in range(1024):
            stream.seek(size * step // 1024)
            pieces.append(stream.read(1 << 16))
    return f"sampled-{size}-{sha256_bytes(b''.join(pieces))}"
