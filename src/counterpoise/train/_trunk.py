"""The trunk: blocks of the language model that no role changes, computed once for all of them.

With factors on the blocks from k on only (`Lora.layers_from`), the states that enter block k are the same for actor,
reference, reward model and critics, in every pass over the same sequence. The first pass records them; later ones start
at block k. Nothing is trained below it, so gradients are those of the whole pass.

    trunk = shared_trunk(trainable, limit=512 << 20)     # None, and why, where no block can be shared
    hidden_BTH = trunk.run(trainable, batch, lambda: body(**batch.inputs).last_hidden_state)
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from counterpoise.base import InputError
from counterpoise.models import decoder_layers

from ._features import GRIDS, PIXEL_INPUTS, Key
from ._losses import bare

if TYPE_CHECKING:
    from ._encode import Batch
    from ._trainable import Trainable

Out = TypeVar("Out", bound=Tensor)
TYPES = ("token_type_ids", "mm_token_type_ids")
OF_IMAGES = (*PIXEL_INPUTS, "mm_encoder_outputs", "image_sizes")
"""Inputs that follow from a sequence's images, which its key names by their content."""


class Sequenced(NamedTuple):
    """All that decides the states of one sequence of a batch: equal values, equal states."""

    start: int
    """Place of its first token, which its positions are counted from."""
    ids: tuple[int, ...]
    types: tuple[tuple[int, ...], ...]
    images: Key

    def cut(self, n: int) -> "Sequenced":
        """Its first `n` tokens."""
        return self._replace(ids=self.ids[:n], types=tuple(each[:n] for each in self.types))


class Trunk:
    """States behind the blocks `0..depth-1` of sequences that were seen, at most `limit` bytes of them.

    When it is full, further sequences are computed anew (those of the latest batch are always known); nothing is
    evicted but by `clear`. It finds out by itself, on its first batch, whether passes that start at `depth` say what
    whole ones say, and is not used when they do not.
    """

    def __init__(
        self, model: Any, depth: int, roles: frozenset[str | None], apart: Sequence[str], limit: int, lasting: bool
    ):
        self.blocks: Sequence[nn.Module] = list(decoder_layers(model))
        self.depth, self.roles, self.apart, self.limit = depth, roles, tuple(apart), limit
        self.lasting = lasting
        """Whether states are kept when an optimizer step ends."""
        self.hits = self.misses = self.used = 0
        self.kept: dict[Sequenced, Tensor] = {}
        self.latest: dict[Sequenced, Tensor] = {}
        self.why: str | None = None
        """Why it is not used, when it is not."""
        self._image_token = getattr(model.config, "image_token_id", None)
        self._checked = False

    def run(self, model: "Trainable", batch: "Batch", forward: Callable[[], Out]) -> Out:
        """`forward()`, a pass over the batch that returns (B, T, ...), with the blocks of the trunk left out where the
        states of all sequences are known for the active role; otherwise they are recorded."""
        found = self.sequences(batch) if self.why is None and model.active in self.roles else None
        if found is None:
            return forward()
        if not self._checked:
            self._checked = True
            self._check(model, found, batch, forward)
            if self.why is not None:
                return forward()
        states = self._states(found, batch)
        if states is None:
            self.misses += len(found)
            with self._recording(found):
                return forward()
        self.hits += len(found)
        with self._entering(states):
            return forward()

    def shorten(self, whole: "Batch", beginnings: "Batch") -> None:
        """Let the states of sequences serve for their beginnings too, row by row: earlier tokens do not see later ones
        in a causal model. Beginnings that are none, and sequences that are not known, are left out."""
        for longer, shorter in zip(self.sequences(whole) or (), self.sequences(beginnings) or (), strict=False):
            states = self._get(longer)
            if states is not None and longer.cut(len(shorter.ids)) == shorter:
                self._put(shorter, states[: len(shorter.ids)], copied=False)

    def clear(self) -> None:
        """Forget all states."""
        self.kept.clear()
        self.latest.clear()
        self.used = 0

    def describe(self) -> str:
        """What was shared, in words."""
        if self.why is not None:
            return f"not shared: {self.why}"
        said = f"blocks 0 to {self.depth - 1} computed once: {self.misses} sequences, {self.hits} times taken from them"
        return said + (f"; each by itself: {', '.join(self.apart)}" if self.apart else "")

    # sequences and their states

    def sequences(self, batch: "Batch") -> list[Sequenced] | None:
        """What decides the states of each sequence; None where that cannot be told: an input that is not known, images
        without a key, holes in the mask."""
        inputs = {name: value for name, value in batch.inputs.items() if value is not None}
        own = ("input_ids", "attention_mask", *TYPES, *OF_IMAGES)
        if any(name not in own and not name.endswith(GRIDS) for name in inputs) or "attention_mask" not in inputs:
            return None
        pictured = any(name in inputs for name in OF_IMAGES)
        ids, mask = inputs["input_ids"].tolist(), inputs["attention_mask"].tolist()
        types = [inputs[name].tolist() for name in TYPES if name in inputs]
        keys: Sequence[Key] = batch.keys or [()] * len(ids)
        found = []
        for row, (own_ids, own_mask, key) in enumerate(zip(ids, mask, keys, strict=True)):
            n = sum(own_mask)
            start = own_mask.index(1) if n else 0
            end = start + n
            if n == 0 or own_mask[start:end] != [1] * n:
                return None
            if pictured and not key and (self._image_token is None or self._image_token in own_ids[start:end]):
                return None
            found.append(
                Sequenced(start, tuple(own_ids[start:end]), tuple(tuple(t[row][start:end]) for t in types), tuple(key))
            )
        return found

    def _get(self, sequence: Sequenced) -> Tensor | None:
        states = self.kept.get(sequence)
        return self.latest.get(sequence) if states is None else states

    def _put(self, sequence: Sequenced, states: Tensor, *, copied: bool = True) -> None:
        size = states.numel() * states.element_size() if copied else 0
        if sequence not in self.kept and self.used + size <= self.limit:
            self.kept[sequence] = states
            self.used += size

    def _states(self, found: Sequence[Sequenced], batch: "Batch") -> Tensor | None:
        """(B, T, H) of a batch, 0 at padding; None unless all of it is known."""
        known = [states for sequence in found if (states := self._get(sequence)) is not None]
        if len(known) < len(found):
            return None
        joined = known[0].new_zeros(*batch.inputs["input_ids"].shape, known[0].shape[-1])
        for row, (sequence, states) in enumerate(zip(found, known, strict=True)):
            joined[row, sequence.start : sequence.start + len(states)] = states
        return joined

    # passes

    @contextmanager
    def _recording(self, found: Sequence[Sequenced]) -> Iterator[None]:
        """Keep what leaves the trunk in a pass inside."""

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                self.why = "a block of this model returns more than its states"
                return
            self.latest = {}
            for row, each in enumerate(found):
                own = output[row, each.start : each.start + len(each.ids)].detach().clone()
                self.latest[each] = own
                self._put(each, own)

        handle = self.blocks[self.depth - 1].register_forward_hook(keep)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _entering(self, states: Tensor) -> Iterator[None]:
        """A pass inside starts behind the trunk, from `states`: its blocks hand on what they get, and the last one
        gives them out. What a model adds between blocks of the trunk (deepstack) is in them."""

        def hand_on(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
            return hidden_states

        def give(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
            if hidden_states.shape != states.shape:
                raise RuntimeError(f"the trunk knows states {tuple(states.shape)}, not {tuple(hidden_states.shape)}")
            return states

        below = self.blocks[: self.depth]
        before = [vars(block).get("forward") for block in below]
        try:
            for block in below:
                vars(block)["forward"] = hand_on
            vars(below[-1])["forward"] = give
            yield
        finally:
            for block, own in zip(below, before, strict=True):
                vars(block).pop("forward", None)
                if own is not None:
                    vars(block)["forward"] = own

    @torch.no_grad()
    def _check(
        self, model: "Trainable", found: Sequence[Sequenced], batch: "Batch", forward: Callable[[], Out]
    ) -> None:
        """Whether a pass from the trunk's states equals the whole one, on the first batch, without dropout."""
        was_training = model.training
        model.eval()
        try:
            self.misses += len(found)
            with self._recording(found):
                whole = forward()
            states = self._states(found, batch) if self.why is None else None
            if states is not None:
                with self._entering(states):
                    ours = forward()
                keep = batch.inputs["attention_mask"].bool()
                wanted, taken = whole[keep].float(), ours[keep].float()
                if not torch.allclose(taken, wanted, rtol=1e-2, atol=1e-2 * float(wanted.abs().max())):
                    self.why = "passes that start behind the shared blocks differ from whole ones in this model"
        finally:
            model.train(was_training)
            if self.why is not None:
                self.clear()


def shared_trunk(
    model: "Trainable", limit: int, *, lasting: bool = True, sharded: bool = False
) -> tuple[Trunk | None, str]:
    """The trunk that the roles of a plan share; None where there is none, and why, in words."""
    if limit <= 0:
        return None, "not shared: trunk_cache_mb is 0"
    inner = bare(model)
    try:
        blocks = decoder_layers(inner)
    except InputError as error:
        return None, f"not shared: {error}"
    lowest = lowest_blocks(model, blocks)
    depth = min((block for role, block in lowest.items() if block and role is not None), default=0)
    if not depth:
        return None, "not shared: the lowest block is trained"
    if sharded:  # processes that gather different blocks wait for each other for ever
        return None, "not shared: weights are sharded"
    if getattr(inner.config.get_text_config(), "num_kv_shared_layers", 0):
        return None, "not shared: this model's upper blocks read keys of lower ones"
    roles = frozenset(role for role, block in lowest.items() if block >= depth)
    apart = [role or "reference" for role, block in lowest.items() if block < depth]
    return Trunk(inner, depth, roles, apart, limit, lasting), ""


def lowest_blocks(model: "Trainable", blocks: Sequence[nn.Module]) -> dict[str | None, int]:
    """Of each role (None: the reference) the lowest block that is not the base's, or is trained; as many as there are
    blocks when all are the base's, and 0 too when something beside the blocks is not: embeddings, the connector."""
    place = {id(p): number for number, block in enumerate(blocks) for p in block.parameters()}
    names = [group.name for group in model.loras]
    found: dict[str | None, int] = dict.fromkeys([*names, None] if names else [""], len(blocks))
    for name, parameter in model.model.named_parameters():
        role = _role_in(name, names)
        at = place.get(id(parameter), 0)
        if role is not None:
            found[role] = min(found[role], at)
        elif parameter.requires_grad:  # trained in place: no role is without it
            found = {each: min(block, at) for each, block in found.items()}
    return found


def _role_in(name: str, roles: Sequence[str]) -> str | None:
    """The role that a parameter of PEFT belongs to; None for the base's own."""
    parts = name.split(".")
    for before, part in itertools.pairwise(parts):
        if part in roles and (before.startswith("lora_") or before == "modules_to_save"):
            return part
    return None
