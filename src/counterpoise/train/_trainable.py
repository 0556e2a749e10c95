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
from typing import Any

import torch
from torch import Tensor, nn

from counterpoise.base import InputError
from counterpoise.models import Loaded, language_root

from ._attach import adapter_config, blocks_to_shard, check, full_paths, head_layer, load_start, owners, role_of
from ._config import TrainConfig
from ._encode import Batch
from ._features import FeatureStore
from ._groups import Group, Head, Lora
from ._losses import LossOut, bare, hidden_states, last_valid
from ._objective import Objective
from ._trunk import Trunk


class Trainable(nn.Module):
    """A model with its parameter groups on. `on` builds one and takes it off again."""

    def __init__(self, loaded: Loaded, groups: Sequence[Group], config: TrainConfig):
        super().__init__()
        self.loaded, self.groups = loaded, tuple(groups)
        self.loras = [group for group in groups if isinstance(group, Lora)]
        self.lora_targets: list[str] = []
        self.store: FeatureStore | None = None
        self.unused_store = ""
        self.trunk: Trunk | None = None
        self.unused_trunk = ""
        self._off = False
        self.sharded = False
        self.full_logits: bool | None = None
        """Whether logits must come from the model's own forward; None: not asked yet (see `label_logits`)."""
        self.learning_rate, self.weight_decay = config.learning_rate, config.weight_decay
        check(loaded, groups)
        inner = loaded.model
        # before PEFT renames modules
        self._paths = [full_paths(inner, group, bool(self.loras)) for group in self.groups]
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
            heads = [group for group in self.groups if isinstance(group, Head)]
            self.heads = nn.ModuleDict({group.name: head_layer(self.loaded, group, seed) for group in heads})
        self._no_split_modules = blocks_to_shard(inner)
        self._owners = owners((name for name, _ in self.named_parameters()), self.groups, self._paths)
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
        result = objective.loss(self, batch)
        if self.sharded and torch.is_grad_enabled():
            # Processes exchange gradients of the same parameters or wait for ever; a projector has none from texts.
            seen = [p.sum() for p in self._beside_language() if p.requires_grad]
            result = result._replace(loss=result.loss + 0.0 * sum(seen)) if seen else result
        return result

    def _beside_language(self) -> Iterator[nn.Parameter]:
        """Parameters of the parts that only images pass through."""
        inner = bare(self)
        language, head = inner.get_submodule(language_root(inner)), inner.get_output_embeddings()
        parts = [part for part in (language, head) if part is not None]
        inside = {id(p) for part in parts for p in part.parameters()}
        return (p for p in inner.parameters() if id(p) not in inside)

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
        was_training, was_off = self.training, self._off
        try:
            with self.model.disable_adapter():
                self.eval()
                self._off = True
                yield self
        finally:
            self._off = was_off
            self.train(was_training)
            self._mark()  # PEFT freezes and unfreezes as it switches

    @property
    def active(self) -> str | None:
        """The role that a pass computes now: a LoRA group, None for the reference, "" for weights trained in place."""
        return None if self._off else str(self.model.active_adapter) if self.loras else ""

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

    def prepare_sharding(self) -> None:
        """Make every process run the same backward, whether its rows have images or not."""
        self.sharded = True
        if any(parameter.requires_grad for parameter in self._beside_language()):
            # with images the first block's input needs a gradient, so it must without: FSDP reduces in that order
            bare(self).enable_input_require_grads()

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

    @property
    def sharing(self) -> str:
        """What the roles shared of the language model, in words (see `Trunk`)."""
        return self.unused_trunk if self.trunk is None else self.trunk.describe()

    def train(self, mode: bool = True) -> "Trainable":
        """Parts without a trained parameter (the vision tower) stay in evaluation mode: constant features."""
        super().train(mode)
        for part in bare(self).base_model.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        if self.trunk is not None:  # nor has the trunk's dropout, if it has any, a part in training
            for block in self.trunk.blocks[: self.trunk.depth]:
                block.eval()
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

    def _add_adapters(self, seed: int) -> None:
        """Every LoRA group on the model inside a PeftModel, the first one active."""
        from peft import PeftModel

        inner = self.loaded.model
        for number, group in enumerate(self.loras):
            planned = zip(self.groups, self._paths, strict=True)
            full = [path for each, paths in planned if role_of(each, self.loras) == group.name for path in paths]
            config, full, targets = adapter_config(self.loaded, group, full)
            self.lora_targets = list(dict.fromkeys([*self.lora_targets, *targets]))
            self._modules_before |= {p: inner.get_submodule(p) for p in full if p not in self._modules_before}
            torch.manual_seed(seed + number)
            if self.model is inner:
                self.model = PeftModel(inner, config, adapter_name=group.name)
            else:
                self.model.add_adapter(group.name, config)
            if group.start:
                load_start(self.model, group)
        self.model.set_adapter(self.loras[0].name)

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
