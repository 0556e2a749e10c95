"""What is seen inside a chat model at the last token of a prompt: states, what enters each linear layer of its MLPs,
and how much the most likely next token depends on the prompt's embeddings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from counterpoise.base import InputError, Progress
from counterpoise.chat import Conversation, Sample
from counterpoise.data import twins

from ._kept import Kept

if TYPE_CHECKING:
    from counterpoise.models import Loaded

DOWN = ("down_proj", "fc2", "dense_4h_to_h", "w2")
"""Names of an MLP's last linear layer: what enters it is the MLP's activation."""
UP = ("up_proj", "gate_proj", "fc1", "dense_h_to_4h", "w1", "w3", "gate_up_proj", "c_fc")


class Prompts(NamedTuple):
    """Harmful and benign requests of one modality."""

    conversations: list[Conversation]
    harmful: np.ndarray
    families: np.ndarray

    def side(self, *, harmful: bool) -> np.ndarray:
        return np.flatnonzero(self.harmful == harmful)


def prompts(split: str, modality: str, limit: int | None) -> Prompts:
    """Twins' families of a split, at most `limit` of them: one harmful and one benign request each."""
    if split == "test":
        raise InputError("study: the test families are for evaluations; choose train or validation")
    rows: list[Sample] = twins.samples(split, modality)[: None if limit is None else 2 * limit]  # type: ignore[arg-type]
    return Prompts([row.messages for row in rows], np.array([bool(row.harmful) for row in rows]),
                   np.array([row.cluster for row in rows]))  # fmt: skip


class Seen(NamedTuple):
    """Of N prompts, at the last token."""

    states: np.ndarray
    """(L + 1, N, H) float32: the input of the first block, and the state behind each block (the last one normed)."""
    entering: dict[str, np.ndarray]
    """Path of a linear layer of an MLP -> (N, in)."""
    refusal: np.ndarray
    """(N) log p - log(1 - p), p the probability that the reply begins with a refusal token."""
    sensitivity: np.ndarray | None
    """(N) Frobenius norm of the gradient of the largest logit, by the embeddings of the prompt."""


def look(
    loaded: "Loaded", conversations: Sequence[Conversation], *, layers: bool = False, gradients: bool = False,
    states: bool = True, batch: int = 8, title: str = "reading states", kept: Kept | None = None,
) -> Seen:  # fmt: skip
    """One pass a prompt; with `gradients` also one backward. Without `states` they are left out ((0, N, H)); batches
    that are kept are not read again."""
    from counterpoise.models import with_system

    conversations = [with_system(row, loaded.system) for row in conversations]  # as it is served and evaluated
    paths = mlp_layers(loaded) if layers else []
    batches = [conversations[start : start + batch] for start in range(0, len(conversations), batch)]
    places = [kept.place(loaded, some, paths, layers, gradients, states) if kept else None for some in batches]
    found = [kept.read(place) if kept and place else None for place in places]
    done = sum(len(some) for some, part in zip(batches, found, strict=True) if part)
    parts: list[Seen] = []
    with Progress(title, len(conversations), unit="prompts", done=done) as progress:
        for some, place, known in zip(batches, places, found, strict=True):
            part = known or _pass(loaded, some, paths, gradients=gradients, states=states)
            if known is None:
                progress.advance(len(some))
                if kept and place:
                    kept.write(place, part)
            parts.append(part)
    sensitivity = [part.sensitivity for part in parts if part.sensitivity is not None]
    return Seen(
        np.concatenate([part.states for part in parts], axis=1),
        {path: np.concatenate([part.entering[path] for part in parts]) for path in paths},
        np.concatenate([part.refusal for part in parts]),
        np.concatenate(sensitivity) if sensitivity else None,
    )


def _pass(loaded: "Loaded", rows: Sequence[Conversation], paths: Sequence[str], *, gradients: bool,
          states: bool) -> Seen:  # fmt: skip
    """What is seen of one batch."""
    import torch

    from counterpoise.models import encode

    inputs = encode(loaded, rows, add_generation_prompt=True, padding_side="left")
    entering: dict[str, np.ndarray] = {}
    norms = None
    with torch.enable_grad() if gradients else torch.no_grad(), _entering(loaded, paths, entering), \
            _embeddings_with_gradient(loaded, on=gradients):  # fmt: skip
        out = loaded.model(**inputs, output_hidden_states=True, use_cache=False, logits_to_keep=1)
        logits = out.logits[:, -1].float()
        if gradients:
            (gradient,) = torch.autograd.grad(logits.amax(-1).sum(), out.hidden_states[0])
            norms = gradient.flatten(1).double().norm(dim=1).cpu().numpy()
    p = logits.detach().double().softmax(-1)[:, refusal_tokens(loaded)].sum(-1).clamp(1e-12, 1 - 1e-12)
    last = np.stack([state[:, -1].detach().float().cpu().numpy() for state in out.hidden_states])
    refusal = (p.log() - (1 - p).log()).cpu().numpy()
    if not (np.isfinite(last).all() and np.isfinite(refusal).all()):
        raise InputError(f"{loaded.name}: its states hold nan or inf; are its weights damaged? Else load it in float32")
    return Seen(last if states else last[:0], entering, refusal, norms)


def refusal_tokens(loaded: "Loaded") -> list[int]:
    """The first tokens of "I'm sorry" and "Sorry"."""
    found = [loaded.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in ("I'm sorry", "Sorry")]
    return sorted({int(token) for token in found})


def mlp_layers(loaded: "Loaded") -> list[str]:
    """Linear layers of the language model's MLPs, in order. Raises InputError naming what there is instead."""
    from counterpoise.models import lora_targets

    every = lora_targets(loaded.model)
    found = [path for path in every if path.rpartition(".")[2] in DOWN + UP]
    if not any(path.rpartition(".")[2] in DOWN for path in found):
        names = sorted({path.rpartition(".")[2] for path in every})
        raise InputError(f"{loaded.name}: no MLP's last layer ({', '.join(DOWN)}) among its {', '.join(names)}")
    return found


@contextmanager
def _entering(loaded: "Loaded", paths: Sequence[str], into: dict[str, np.ndarray]) -> Iterator[None]:
    """What enters the layers, at the last position; hooks are removed in any case."""

    def keep(path: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            into[path] = inputs[0][:, -1].detach().float().cpu().numpy()

        return hook

    handles = []
    try:
        for path in paths:
            handles.append(loaded.model.get_submodule(path).register_forward_pre_hook(keep(path)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _embeddings_with_gradient(loaded: "Loaded", *, on: bool) -> Iterator[None]:
    """Embedded tokens ask for a gradient: with images merged in, all that enters the first block then has one."""
    handle = None
    if on:
        embed = loaded.model.get_input_embeddings()
        handle = embed.register_forward_hook(lambda _, __, output: output.detach().requires_grad_(True).clone())
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
