"""The encoders that UWM edits, of a dual encoder and of a vision-language model: their layers, and how to run them.

A tower's `run` sends a batch of images or texts through the encoder and no further, and says which tokens are text.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoise.base import InputError
from counterpoise.chat import Image, user

from ._saliency import Activity, activity
from ._uwm import Kind

if TYPE_CHECKING:
    from counterpoise.models import DualEncoder, Loaded

USUAL: dict[Kind, tuple[str, ...]] = {"vision": ("fc2", "down_proj"), "text": ("out_proj", "o_proj")}
"""Layers that are edited when none are named: the first of these that the encoder has. The paper's are `fc2` (second
layer of every MLP) and `out_proj` (output of every attention); language models call the same layers otherwise."""


@dataclass(frozen=True, eq=False)
class Tower:
    """One encoder."""

    kind: Kind
    layers: dict[str, nn.Linear]
    """By parameter path without `.weight`."""
    run: Callable[[Sequence[Any]], Tensor | None]
    """Runs a batch of `Image` or `str`; returns which tokens are valid, (B, L), or None when all are."""

    def activities(self, items: Sequence[Any]) -> dict[str, Activity]:
        """The activity of every layer over a batch. Images that an encoder cuts into tiles or packs into one sequence
        are run one by one.

        Raises InputError for a layer that one pass runs twice, or whose input has another shape.
        """
        seen: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        with recorded(self.layers, seen):
            mask = self.run(items)
        unused = [name for name, found in seen.items() if not found]
        for name in unused:  # a head that only another task uses
            del self.layers[name]
        rows = {name: _rows(name, found, len(items)) for name, found in seen.items() if found}
        if any(value is None for value in rows.values()):
            single = [self.activities([item]) for item in items]
            return {name: Activity(*map(torch.cat, zip(*(one[name] for one in single), strict=True))) for name in rows}
        return {name: activity(value, mask) for name, value in rows.items() if value is not None}


def _rows(name: str, found: list[Tensor], n: int) -> Tensor | None:
    """The inputs of one pass as (n, L, d), or None when they cannot be told apart by sample."""
    if len(found) > 1:
        raise InputError(f"{name}: the encoder runs it {len(found)} times for one batch; leave it out of the layers")
    x = found[0]
    if n == 1:
        return x.reshape(1, -1, x.shape[-1])
    return x if x.ndim == 3 and x.shape[0] == n else None


@contextmanager
def recorded(layers: dict[str, nn.Linear], into: dict[str, list[Tensor]]) -> Iterator[None]:
    """The inputs of `layers` go into the lists of `into` while the block runs; hooks are removed in any case."""

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: into[name].append(inputs[0].detach())

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def dual_tower(encoder: "DualEncoder", kind: Kind, wanted: Sequence[str]) -> Tower:
    """One of the two encoders of a dual encoder. Raises InputError when it has none of the wanted layers."""
    root = encoder.roots().get(kind)
    if root is None:
        raise InputError(f"{encoder.name}: its {kind} encoder is not where CLIP and SigLIP have it")
    layers = linear_layers(encoder.model, root, wanted, kind, encoder.name)

    def images(items: Sequence[Image]) -> Tensor | None:
        encoder.model.get_image_features(**encoder.pixels(items))
        return None

    def texts(items: Sequence[str]) -> Tensor | None:
        inputs, mask = encoder.tokens(items)
        encoder.model.get_text_features(**inputs)
        return mask

    return Tower(kind, layers, images if kind == "vision" else texts)


def chat_tower(loaded: "Loaded", kind: Kind, wanted: Sequence[str]) -> Tower:
    """Vision encoder or language model of a chat model; a text is a request in its template.

    Raises InputError for a model without a vision encoder, and when there is none of the wanted layers.
    """
    from counterpoise.models import encode, language_root, vision_root

    root = vision_root(loaded.model) if kind == "vision" else language_root(loaded.model)
    if root is None:
        raise InputError(f"{loaded.name}: has no vision encoder; leave it out (encoders=[text])")
    layers = linear_layers(loaded.model, root, wanted, kind, loaded.name)
    language = loaded.model.get_submodule(language_root(loaded.model))

    def images(items: Sequence[Image]) -> Tensor | None:
        inputs = encode(loaded, [(user(item, ""),) for item in items], add_generation_prompt=True, padding_side="left")
        with _stopped_before(language):
            loaded.model(**inputs)
        return None

    def texts(items: Sequence[str]) -> Tensor | None:
        inputs = encode(loaded, [(user(item),) for item in items], add_generation_prompt=True, padding_side="left")
        loaded.model(**inputs, use_cache=False)
        mask: Tensor = inputs["attention_mask"]
        return mask

    return Tower(kind, layers, images if kind == "vision" else texts)


class _Stop(Exception):
    """Everything that was wanted of a forward pass is there."""


@contextmanager
def _stopped_before(module: nn.Module) -> Iterator[None]:
    """A forward pass inside the block ends where `module` would begin: nothing behind it is computed."""

    def stop(*_: Any) -> None:
        raise _Stop

    hook = module.register_forward_pre_hook(stop)
    try:
        yield
    except _Stop:
        pass
    finally:
        hook.remove()


def linear_layers(model: nn.Module, root: str, wanted: Sequence[str], kind: Kind, name: str) -> dict[str, nn.Linear]:
    """Linear layers below `root` whose own name is one of `wanted` (empty: the usual one), by path.

    Raises InputError that lists the names there are, and for weights that are quantised.
    """
    below = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and (path.startswith(f"{root}.") or not root)
    }
    known = sorted({path.rpartition(".")[2] for path in below})
    names = tuple(wanted) or next(((usual,) for usual in USUAL[kind] if usual in known), ())
    absent = [each for each in names if each not in known]
    if absent or not names:
        lacks = ", ".join(absent) or " or ".join(USUAL[kind])
        raise InputError(f"{name}: its {kind} encoder has no layer {lacks}; it has {', '.join(known) or 'none'}")
    found = {path: module for path, module in below.items() if path.rpartition(".")[2] in names}
    for path, module in found.items():
        if not module.weight.is_floating_point():
            raise InputError(f"{name}: {path} is quantised ({module.weight.dtype}); edit the plain checkpoint")
        if not bool(module.weight.isfinite().all()):
            raise InputError(f"{name}: {path}.weight holds nan or inf; is the checkpoint damaged?")
    return found
