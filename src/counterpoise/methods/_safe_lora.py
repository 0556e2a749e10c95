"""Safe LoRA (Hsu et al., NeurIPS 2024, arXiv 2405.16833): a finished fine-tuning is projected onto the alignment.

No data and no training: what alignment changed in a weight matrix, V = W_aligned - W_unaligned, spans the directions
that are held safe. The steps, in this file: `alignment` gives V of every tuned matrix (1); `project` its update C dW
and the cosine between both (2); `chosen` replaces the updates that turn most (3); `run.json` lists the layers (4).
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import Artifact, InputError, notice, read_json

from ._knobs import Knob
from ._outcome import AlignResult, claim, write_run
from ._registry import method
from ._sources import Overlaps

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoise.models import Loaded

Form = Literal["scaled", "exact"]
PREFIX, FACTOR_A, FACTOR_B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


class SafeLoRAConfig(BaseModel):
    """Which update is projected, and where. Defaults: the authors' code."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tuned: Path | None = None
    """What the fine-tuning of MODEL left: folder of a LoRA adapter, or of whole weights. Required."""
    unaligned: str | None = None
    """The model before its alignment: name, hub id or folder. Of a vision-language model the language model it began
    from will do; layers that it has not are left as they were tuned. Required."""
    mode: Literal["number", "threshold"] = "number"
    """`number`: so many layers with the smallest cosines are replaced; `threshold`: all with a cosine of at most it."""
    number: int = Field(default=10, ge=0)
    """Layers that are replaced in the mode `number`."""
    threshold: float = Field(default=0.5, ge=-1, le=1)
    """Largest cosine that is replaced in the mode `threshold`."""
    form: Form = "scaled"
    """`scaled`: C = V V' / |V|, the authors' code, which is no projection: it shrinks or grows an update, by the norm
    ratio in `run.json`. `exact`: the orthogonal projection onto the columns of V."""
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    """For `exact`: singular values of V below this share of the largest are rounding, not alignment."""


@dataclass(frozen=True)
class Layer:
    """What became of one tuned matrix."""

    name: str
    cosine: float
    """Between the update and its projection; how little the projection turns it."""
    ratio: float
    """Norm of the projection over that of the update."""
    replaced: bool = False


def project(change: "Tensor", update: "Tensor", form: Form = "scaled", tolerance: float = 0.05) -> "Tensor":
    """Step 2: C dW for V = `change` (out, in) and dW = `update` (out, any), in float32.

    `scaled`: V (V' dW) / |V|_F (equation 2 of the paper as its code has it). `exact`: U U' dW with the left singular
    vectors of V whose singular values exceed `tolerance` times the largest. C itself, (out, out), is never formed.
    """
    import torch

    v, dw = change.float(), update.float()
    if form == "scaled":
        scaled: torch.Tensor = v @ (v.T @ dw) / torch.linalg.norm(v)
        return scaled
    u, s, _ = torch.linalg.svd(v, full_matrices=False)
    kept = u[:, s > tolerance * s[0]]
    exact: torch.Tensor = kept @ (kept.T @ dw)
    return exact


def measured(name: str, update: "Tensor", projected: "Tensor") -> Layer:
    """Cosine and norm ratio of dW and C dW; an update of zero has cosine 1, because nothing can turn it."""
    import torch

    before, after = torch.linalg.norm(update.float()), torch.linalg.norm(projected)
    if not before > 0:
        return Layer(name, 1.0, 1.0)
    inner = float((update.float() * projected).sum())
    cosine = inner / float(before * after) if after > 0 else 0.0
    return Layer(name, cosine, float(after / before))


def chosen(config: SafeLoRAConfig, layers: Sequence[Layer]) -> set[str]:
    """Step 3: the layers whose updates are replaced."""
    if config.mode == "threshold":
        return {each.name for each in layers if each.cosine <= config.threshold}
    return {each.name for each in sorted(layers, key=lambda each: (each.cosine, each.name))[: config.number]}


def alignment(loaded: "Loaded", unaligned: "Loaded", paths: Sequence[str]) -> dict[str, "Tensor"]:
    """Step 1: V of every module that both models have, and in which alignment changed anything.

    Modules of the language models are matched by their place below its root, so that a language model alone will do.
    Raises InputError for a quantised layer, for weights of other shapes, and when nothing differs at all.
    """
    import torch

    from counterpoise.models import language_root

    roots = language_root(loaded.model), language_root(unaligned.model)
    known = dict(unaligned.model.named_parameters(remove_duplicate=False))
    own = dict(loaded.model.named_parameters(remove_duplicate=False))
    found: dict[str, torch.Tensor] = {}
    shared = 0
    for path in paths:
        weight = own.get(f"{path}.weight")
        if weight is None or not weight.is_floating_point() or weight.ndim != 2 or weight.device.type == "meta":
            raise InputError(
                f"safe-lora: {path} of {loaded.name} is no plain matrix in memory (quantised or spread?); load the "
                "unquantised checkpoint"
            )
        below = path.removeprefix(f"{roots[0]}.") if roots[0] else path
        inside = below != path or not roots[0]
        other = known.get(f"{roots[1]}.{below}.weight".strip(".") if inside else f"{path}.weight")
        if other is None:
            continue
        if not other.is_floating_point() or other.shape != weight.shape:
            raise InputError(
                f"safe-lora: {path} is {tuple(weight.shape)} in {loaded.name} and {tuple(other.shape)}, {other.dtype}, "
                f"in {unaligned.name}; give the plain model that it was aligned from"
            )
        shared += 1
        change = weight.detach().float().cpu() - other.detach().float().cpu()
        if bool(change.any()):
            found[path] = change
    if not found:
        why = "has the same weights as" if shared else "has no layer in common with the tuned ones of"
        raise InputError(f"safe-lora: {unaligned.name} {why} {loaded.name}; give the model before its alignment")
    return found


def _adapter(
    config: SafeLoRAConfig, tuned: Artifact, v_of: Callable[[Sequence[str]], Mapping[str, "Tensor"]], out: Path
) -> tuple[list[Layer], list[str]]:
    """B' = C B of the chosen modules of a LoRA adapter, whose A stays: the update becomes C B A."""
    from safetensors.torch import load_file, save_file

    settings = read_json(tuned.path / "adapter_config.json")
    odd = [name for name in ("use_dora", "lora_bias") if settings.get(name)]
    if settings.get("peft_type") != "LORA" or odd:
        raise InputError(
            f"{tuned.path}: {', '.join(odd) or settings.get('peft_type')} is no plain LoRA; merge it and give the "
            "folder of the whole weights"
        )
    tensors = load_file(tuned.path / "adapter_model.safetensors")
    paths = [name.removeprefix(PREFIX).removesuffix(FACTOR_B) for name in tensors if name.endswith(FACTOR_B)]
    changes = v_of(paths)
    turned = bool(settings.get("fan_in_fan_out"))  # GPT-2 keeps (in, out)
    layers, projected = [], {}
    for path, change in changes.items():
        a, b = tensors[PREFIX + path + FACTOR_A].float(), tensors[PREFIX + path + FACTOR_B].float()
        v = change.T if turned else change
        if v.shape != (b.shape[0], a.shape[1]):
            raise InputError(f"{tuned.path}: its {path} does not fit the model ({tuple(b.shape)} for {tuple(v.shape)})")
        projected[path] = project(v, b, config.form, config.tolerance)
        layers.append(measured(path, b @ a, projected[path] @ a))
    replaced = chosen(config, layers)
    for path in replaced:
        name = PREFIX + path + FACTOR_B
        tensors[name] = projected[path].to(tensors[name].dtype).contiguous()

    def write(part: Path) -> None:
        shutil.copyfile(tuned.path / "adapter_config.json", part / "adapter_config.json")
        save_file(tensors, part / "adapter_model.safetensors", metadata={"format": "pt"})

    _whole(out / "adapter", write)
    return _marked(layers, replaced), [path for path in paths if path not in changes]


def _weights(
    config: SafeLoRAConfig, loaded: "Loaded", tuned: Artifact, v_of: Callable[[Sequence[str]], Mapping[str, "Tensor"]],
    out: Path,
) -> tuple[list[Layer], list[str]]:  # fmt: skip
    """W' = W_aligned + C (W_tuned - W_aligned) of the chosen linear layers of a whole model."""
    import torch

    from counterpoise.models import load, lora_targets

    other = load(str(tuned.path), dtype=loaded.dtype, device="cpu")
    paths = lora_targets(loaded.model)
    own, now = dict(loaded.model.named_parameters()), dict(other.model.named_parameters())
    changes = v_of(paths)
    layers, projected = [], {}
    for path, change in changes.items():
        name = f"{path}.weight"
        if name not in now or now[name].shape != own[name].shape:
            raise InputError(f"{tuned.path}: has no {name} of shape {tuple(own[name].shape)}; was it tuned from MODEL?")
        update = now[name].detach().float().cpu() - own[name].detach().float().cpu()
        if bool(update.any()):
            projected[path] = project(change, update, config.form, config.tolerance)
            layers.append(measured(path, update, projected[path]))
    replaced = chosen(config, layers)
    with torch.no_grad():
        for path in replaced:
            name = f"{path}.weight"
            now[name].copy_(own[name].detach().float().cpu() + projected[path])

    def write(part: Path) -> None:
        other.model.save_pretrained(part)
        (other.processor or other.tokenizer).save_pretrained(part)

    _whole(out / "weights", write)
    return _marked(layers, replaced), [path for path in paths if path not in changes]


def _marked(layers: Sequence[Layer], replaced: set[str]) -> list[Layer]:
    return [Layer(each.name, each.cosine, each.ratio, each.name in replaced) for each in layers]


def _whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Complete under a temporary name first, then renamed."""
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    try:
        part.mkdir(parents=True)
        write(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot write ({error.strerror or error}); free some space") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@method(
    "safe-lora",
    title="Safe LoRA",
    paper="Hsu et al., Safe LoRA: the Silver Lining of Reducing Safety Risks when Fine-tuning Large Language Models, "
    "NeurIPS 2024, arXiv 2405.16833",
    source="https://github.com/IBM/SafeLoRA",
    licence="Apache-2.0",
    config=SafeLoRAConfig,
    knobs=(Knob("number", "layers projected", grid=(0, 10, 30, 90)),),
)
def align(
    loaded: "Loaded", config: SafeLoRAConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Project a fine-tuning's update onto what alignment changed, layer by layer. No data, no training.

    MODEL is the aligned model, `tuned` what a fine-tuning of it left, `unaligned` the model before its alignment. An
    adapter gives an adapter, whole weights give whole weights. Costs: what the fine-tuning taught in the replaced
    layers, which must be measured; and the weights of the unaligned model must be at hand.

    Writes `out/adapter/` or `out/weights/` and `out/run.json`, which lists every layer with its cosine and norm ratio.
    Raises InputError for anything the user can mend.
    """
    from counterpoise.models import load, read_artifact

    started = time.monotonic()
    if config.tuned is None or config.unaligned is None:
        absent = [name for name in ("tuned", "unaligned") if getattr(config, name) is None]
        raise InputError(f"safe-lora: not set: {', '.join(absent)}; write --set {absent[0]}=FOLDER")
    if loaded.adapter is not None or loaded.artifact is not None:
        raise InputError(f"{loaded.name}: carries an adapter or an edit; give the aligned model, and these as tuned")
    claim(out, "safe-lora", loaded, config, resume=resume)
    tuned = read_artifact(config.tuned)
    if tuned.kind in ("edit", "steering"):
        raise InputError(f"{config.tuned}: is of kind {tuned.kind}; give an adapter, or the folder of whole weights")
    before = load(config.unaligned, dtype="float32", device="cpu")

    def v_of(paths: Sequence[str]) -> Mapping[str, "Tensor"]:
        return alignment(loaded, before, paths)

    if tuned.kind == "adapter":
        layers, left = _adapter(config, tuned, v_of, out)
    else:
        layers, left = _weights(config, loaded, tuned, v_of, out)
    if left:
        notice(f"safe-lora: {len(left)} tuned layers stay as they are, alignment changed nothing there: {left[0]}, ...")
    return write_run(
        out, method="safe-lora", loaded=loaded, config=config, artifact=read_artifact(out / tuned.kind),
        data={"tuned": {"kind": tuned.kind, "fingerprint": tuned.fingerprint},
              "unaligned": {"name": before.name, "fingerprint": before.fingerprint}},
        train={"replaced": sum(each.replaced for each in layers), "layers": [asdict(each) for each in layers],
               "left": left},
        timings={"project": time.monotonic() - started},
    )  # fmt: skip
