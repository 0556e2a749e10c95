"""What is trained: a plan of parameter groups put on a model, and taken off again.

    with on(loaded, (Lora(name="actor"), Lora(name="critic", learning_rate=5e-6), Head(name="value")), config) as model:
        with model.using("critic"):
            values_BT1 = model.values("value", batch)
        with model.reference():
            ...                             # the weights that came in: every adapter is off

One backbone carries all roles. Trained values are held in float32 (see `Lora.dtype`): autocast computes in bfloat16.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterpoise.base import InputError
from counterpoise.models import Loaded, connector_modules, language_root, lora_targets, target_regex

from ._config import TrainConfig
from ._encode import Batch
from ._features import FeatureStore
from ._groups import Group, Head, Layers, Lora, Projector
from ._losses import LossOut, bare, hidden_states, last_valid
from ._objective import Objective


class Trainable(nn.Module):
    """A model with its parameter groups on. `on` builds one and takes it off again."""

    def __init__(self, loaded: Loaded, groups: Sequence[Group], config: TrainConfig):
        super().__init__()
        self.loaded, self.groups = loaded, tuple(groups)
        self.loras = [group for group in groups if isinstance(group, Lora)]
        self.lora_targets: list[str] = []
        self.store: FeatureStore | None = None
        self.unused_store = ""
        self.full_logits: bool | None = None
        """Whether logits must come from the model's own forward; None: not asked yet (see `label_logits`)."""
        self.learning_rate, self.weight_decay = config.learning_rate, config.weight_decay
        self._checked()
        inner = loaded.model
        self._paths = [self._find_paths(group) for group in self.groups]  # before PEFT renames modules
        self._flags = [(p, p.requires_grad) for p in inner.parameters()]
        self._was_training = inner.training
        self._modules_before: dict[str, nn.Module] = {}
        self._values_before: dict[str, Tensor] = {}
        self.model: Any = inner
        try:
            self._put_on(config.seed)
        except BaseException:
            self.take_off()
            raise

    def _put_on(self, seed: int) -> None:
        inner = self.loaded.model
        inner.requires_grad_(False)
        with torch.random.fork_rng():
            if self.loras:
                self._add_adapters(seed)
            self.heads = nn.ModuleDict(dict(self._head(g, seed) for g in self.groups if isinstance(g, Head)))
        # What FSDP shards one by one: blocks of the language model only. Those of the vision encoder run where a
        # process has images, and processes that gather different blocks wait for each other for ever.
        parts = list(inner.get_submodule(language_root(inner)).modules())
        blocks = {name for part in (inner, *parts) for name in getattr(part, "_no_split_modules", None) or ()}
        self._no_split_modules = sorted(blocks.intersection(type(part).__name__ for part in parts))
        self._owners = self._find_owners()
        for name, parameter in self.named_parameters():
            if name in self._owners:
                if not self.loras and not name.startswith("heads."):
                    self._values_before[name.removeprefix("model.")] = parameter.detach().cpu().clone()
                parameter.data = parameter.data.to(getattr(torch, self._owners[name].dtype))
        self._mark()

    # what a loss uses

    def forward(self, objective: Objective[Any], batch: Batch) -> LossOut:
        """The objective's loss, with image features from the store where there is one: one forward for DDP and FSDP,
        whatever the loss calls."""
        if self.store is not None:
            inputs = self.store.apply(bare(self), batch.inputs, batch.keys)
            batch = dataclasses.replace(batch, inputs=inputs)
        return objective.loss(self, batch)

    @contextmanager
    def using(self, role: str) -> Iterator["Trainable"]:
        """The LoRA group of that name is the active one, all others are without effect.

        Backward must happen inside too when gradient checkpointing is on, since it computes activations again: give
        the objective that `role` instead. Raises InputError for a name that the plan has not.
        """
        names = [group.name for group in self.loras]
        if role not in names:
            raise InputError.unknown("role", role, names)
        before = self.model.active_adapter
        self._activate(role)
        try:
            yield self
        finally:
            self._activate(before)

    @contextmanager
    def reference(self) -> Iterator["Trainable"]:
        """The weights that came in, in evaluation mode: every adapter is off, with its projector and layers.

        Raises InputError when weights are trained in place, because then they are gone.
        """
        if not self.loras:
            raise InputError(
                "reference model: the plan trains weights in place; train LoRA factors, and layers or the projector "
                "beside them, so that they can be switched off"
            )
        was_training = self.training
        try:
            with self.model.disable_adapter():
                self.eval()
                yield self
        finally:
            self.train(was_training)
            self._mark()  # PEFT freezes and unfreezes as it switches

    def scores(self, head: str, batch: Batch) -> Tensor:
        """(B, outputs) in fp32: a head's numbers at the last token that is no padding, under either padding side."""
        hidden_BTH = hidden_states(self, batch)
        last_B = last_valid(batch.inputs["attention_mask"])
        return self._read(head, hidden_BTH[torch.arange(len(last_B), device=last_B.device), last_B])

    def values(self, head: str, batch: Batch) -> Tensor:
        """(B, T, outputs) in fp32: a head's numbers at every token."""
        return self._read(head, hidden_states(self, batch))

    def _read(self, head: str, hidden: Tensor) -> Tensor:
        if head not in self.heads:
            raise InputError.unknown("head", head, self.heads.keys())
        with torch.autocast(hidden.device.type, enabled=False):  # rewards differ by less than bfloat16 resolves
            layer = self.heads[head]
            result: Tensor = layer(hidden.to(next(layer.parameters()).dtype)).float()
        return result

    # what the loop uses

    def get_base_model(self) -> Any:
        """The transformers model; adapter layers are inside it."""
        return self.model.get_base_model() if self.loras else self.model

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For an optimizer: parameters of each trained group, with its `peak` learning rate and weight decay."""
        result = []
        for group in self.groups:
            own = [parameter for name, parameter in self.trained().items() if self._owners[name] is group]
            if own:
                peak = group.learning_rate or self.learning_rate
                decay = self.weight_decay if group.weight_decay is None else group.weight_decay
                result.append({"params": own, "lr": 0.0, "peak": peak, "weight_decay": decay})
        return result

    def trained(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of all that is trained."""
        return {name: parameter for name, parameter in self.named_parameters() if name in self._owners}

    @property
    def features(self) -> str:
        """What the feature cache did, in words."""
        if self.store is None:
            return self.unused_store
        used = f"{self.store.hits} hits, {self.store.misses} computed"
        return used if self.store.path is not None else f"not kept, each image is seen once: {used}"

    def train(self, mode: bool = True) -> "Trainable":
        """Parts without a trained parameter (the vision tower) stay in evaluation mode: constant features."""
        super().train(mode)
        for part in bare(self).base_model.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def take_off(self) -> None:
        """Leave the model as it came in."""
        inner = self.loaded.model
        if self.model is not inner:
            self.model.unload()
        for path, module in self._modules_before.items():  # PEFT leaves the trained copy in the model (0.21)
            parent, _, name = path.rpartition(".")
            setattr(inner.get_submodule(parent), name, module)
        if hasattr(inner, "peft_config"):
            del inner.peft_config
        own = dict(inner.named_parameters())
        for name, value in self._values_before.items():
            own[name].data = value.to(own[name].device)
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
        inner.train(self._was_training)

    # how it is put on

    def _checked(self) -> None:
        """Raises InputError for a plan or a model that cannot be trained."""
        loaded = self.loaded
        if loaded.peft is not None or hasattr(loaded.model, "peft_config"):
            raise InputError(
                f"{loaded.name}: already carries the adapter {loaded.adapter}; load it merged (merge=True), or train "
                "the base"
            )
        if loaded.adapter is not None:
            from ._artifact import joinable

            joinable(Path(loaded.adapter), loaded.model)
        for kind in (Lora, Head):
            names = [group.name for group in self.groups if isinstance(group, kind)]
            if len(set(names)) < len(names):
                raise InputError(f"parameter groups: two are called {max(names, key=names.count)!r}")
        if all(getattr(group, "frozen", False) for group in self.groups):
            raise InputError("parameter groups: nothing is trained; add a group that is not frozen")
        for group in self.groups:
            role = getattr(group, "role", None)
            if role is not None and role not in [lora.name for lora in self.loras]:
                raise InputError.unknown("role", role, [lora.name for lora in self.loras])

    def _find_paths(self, group: Group) -> list[str]:
        """Paths of the modules that a group trains in full."""
        inner = self.loaded.model
        if isinstance(group, Projector):
            if not (paths := connector_modules(inner)):
                raise InputError(f"{type(inner).__name__}: has no projector between vision encoder and language model")
            return paths
        if not isinstance(group, Layers):
            return []
        known = dict(inner.named_modules())
        paths = []
        for path in group.modules:
            if path not in known and path in ("all", "language_model"):
                path = language_root(inner) if path == "language_model" else ""
            if path not in known or (path == "" and self.loras):
                near = ", ".join(get_close_matches(path, known, n=3)) or "see model.named_modules()"
                raise InputError(f"{type(inner).__name__}: cannot train {path or 'all'!r} in full; modules: {near}")
            paths.append(path)
        return paths

    def _role(self, group: Group) -> str:
        """The LoRA group that carries a group's trained copies; "" when weights are trained in place."""
        return getattr(group, "role", None) or (self.loras[0].name if self.loras else "")

    def _add_adapters(self, seed: int) -> None:
        """Every LoRA group on the model inside a PeftModel, the first one active."""
        from peft import LoraConfig, PeftConfig, PeftModel

        inner = self.loaded.model
        for number, group in enumerate(self.loras):
            planned = zip(self.groups, self._paths, strict=True)
            full = [path for each, paths in planned if self._role(each) == group.name for path in paths]
            targets = [
                path
                for path in group.targets or lora_targets(inner)
                if not any(f"{path}.".startswith(f"{module}.") for module in full)
            ]
            if group.start:
                config = PeftConfig.from_pretrained(str(group.start))
                config.lora_dropout = 0.0 if group.frozen else config.lora_dropout
                named = tuple(config.modules_to_save or ())
                full += [name for name, _ in inner.named_modules() if name.endswith(named) and named]
                config.modules_to_save = list(dict.fromkeys(full)) or None
            else:
                config = LoraConfig(
                    r=group.rank, lora_alpha=group.alpha, lora_dropout=group.dropout,
                    target_modules=target_regex(targets), modules_to_save=full or None, task_type="CAUSAL_LM",
                )  # fmt: skip
                self.lora_targets = list(dict.fromkeys([*self.lora_targets, *targets]))
            config.base_model_name_or_path = self.loaded.name  # what `load` can find again
            config.inference_mode = False
            self._modules_before |= {p: inner.get_submodule(p) for p in full if p not in self._modules_before}
            torch.manual_seed(seed + number)
            if self.model is inner:
                self.model = PeftModel(inner, config, adapter_name=group.name)
            else:
                self.model.add_adapter(group.name, config)
            if group.start:
                _load(self.model, group)
        self.model.set_adapter(self.loras[0].name)

    def _head(self, group: Head, seed: int) -> tuple[str, nn.Module]:
        """A new head, N(0, 1/(H+1)) as is usual for reward models, or the one of an earlier training."""
        from ._artifact import load_head

        width = self.loaded.model.config.get_text_config().hidden_size
        torch.manual_seed(seed)
        layer = nn.Linear(width, group.outputs, bias=False, device=self.loaded.device)
        nn.init.normal_(layer.weight, std=(width + 1) ** -0.5)
        if group.start:
            load_head(group.start, group.name, layer)
        return group.name, layer

    def _find_owners(self) -> dict[str, Group]:
        """Name of each trained parameter -> its group."""
        owners: dict[str, Group] = {}
        names = [name for name, _ in self.named_parameters()]
        for group, paths in zip(self.groups, self._paths, strict=True):
            if not getattr(group, "frozen", False):
                owners |= {name: group for name in names if self._belongs(name, group, paths)}
        return owners

    def _belongs(self, name: str, group: Group, paths: Sequence[str]) -> bool:
        if isinstance(group, Head):
            return name.startswith(f"heads.{group.name}.")
        if isinstance(group, Lora):
            return ".lora_" in name and f".{group.name}." in name
        if not self.loras:
            return any(f"{name}.".startswith(f"model.{path}." if path else "model.") for path in paths)
        place, copied, _ = name.partition(f".modules_to_save.{self._role(group)}.")
        return bool(copied) and place.removeprefix("model.base_model.model.") in paths

    def _activate(self, role: str) -> None:
        self.model.set_adapter(role)
        self._mark()

    def _mark(self) -> None:
        """Only what the plan trains gets gradients, whichever role is active."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in self._owners)


@contextmanager
def on(loaded: Loaded, groups: Sequence[Group], config: TrainConfig, *, restore: bool = True) -> Iterator[Trainable]:
    """The groups put on the model; on leaving, the model is the one that came in (weights trained in place are copied
    to the CPU first for that, which only full training pays). A model that was sharded cannot be `restore`d.

    Raises InputError for a model that carries an adapter apart, and for a plan that does not fit it.
    """
    trainable = Trainable(loaded, groups, config)
    try:
        yield trainable
    finally:
        if restore:
            trainable.take_off()


def _load(peft: Any, group: Lora) -> None:
    """Fill a LoRA group from its `start` folder. Raises InputError unless every tensor found its place."""
    mapping = getattr(peft.get_base_model(), "_checkpoint_conversion_mapping", {})
    try:
        result = peft.load_adapter(
            str(group.start), group.name, is_trainable=not group.frozen, key_mapping=mapping or None
        )
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
        raise InputError(f"{group.start}: does not fit as start of {group.name!r}: {str(error)[:200]}") from error
    if wrong := [*result.unexpected_keys, *result.missing_keys]:
        raise InputError(f"{group.start}: does not fit as start of {group.name!r}: {', '.join(wrong[:3])}")
