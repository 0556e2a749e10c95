"""The Lagrange multiplier: how much a unit of cost weighs against a unit of reward, and who moves it.

    max over policies of J_R  subject to  J_C <= budget

J_C is the mean cost of the last `window` episodes. Three controllers move the multiplier after every step:

    projected   lambda <- clip(lambda + rate (J_C - budget), 0, cap)                        (eq. 8 of the paper)
    log         lambda <- clip(lambda exp(rate lambda (J_C - budget)), floor, cap)          (the released code)
    pid         lambda = clip(K_P p + I + K_D D, 0, cap)                                    (Stooke et al. 2020)

No adaptive optimiser moves it: the one gradient is the violation itself, and Adam would divide it by its own scale, so
that a small violation moved the multiplier as far as a large one.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MultiplierConfig(BaseModel):
    """Defaults: the paper's, except `init`: it starts at 10 with a cap of 20, so that the first steps do little but
    minimise cost, and a policy that refuses everything is the likely end."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["log", "projected", "pid", "fixed"] = "log"
    """Who moves the multiplier; `fixed`: nobody."""
    budget: float = 0.0
    """What the mean cost of an episode may be (d); costs above 0 are unsafe. The paper takes -0.5."""
    init: float = Field(default=1.0, ge=0)
    """Where it starts; of a PID its integral part."""
    cap: float = Field(default=20.0, gt=0)
    """It never exceeds this."""
    rate: float = Field(default=0.1, gt=0)
    """Step size of `log` and `projected`."""
    floor: float = Field(default=1e-4, gt=0)
    """Of `log`: without one a long time below the budget drives it so near 0 that it cannot recover."""
    window: int = Field(default=128, ge=1)
    """Episodes, over all processes, that J_C is a mean of."""
    delay: int = Field(default=1, ge=0)
    """Steps before it first moves."""
    proportional: float = Field(default=0.1, ge=0)
    """K_P of a PID."""
    integral: float = Field(default=0.01, ge=0)
    """K_I of a PID."""
    derivative: float = Field(default=0.01, ge=0)
    """K_D of a PID, on rises of J_C only."""
    smooth: float = Field(default=0.95, ge=0, lt=1)
    """Weight of the old value in the running means of a PID's proportional and derivative part."""
    lag: int = Field(default=10, ge=1)
    """Steps that a PID's derivative looks back."""

    @model_validator(mode="after")
    def _check(self) -> "MultiplierConfig":
        if self.init > self.cap:
            raise ValueError(f"init {self.init} is above cap {self.cap}")
        if self.kind == "log" and not self.floor <= self.init:
            raise ValueError(f"init {self.init}: the log controller multiplies, it must start at {self.floor} or above")
        return self


class Multiplier:
    """The multiplier of one run: `value`, and `update` with the costs of each step's episodes."""

    def __init__(self, config: MultiplierConfig):
        self.config = config
        self.value = config.init
        self._costs: list[float] = []
        self._updates = 0
        self._p, self._i = 0.0, config.init
        self._means: list[float] = []
        """Running means of J_C, the latest last; at most `lag` + 1."""

    @property
    def mean_cost(self) -> float:
        """J_C; NaN before the first episode."""
        return sum(self._costs) / len(self._costs) if self._costs else math.nan

    def update(self, costs: Sequence[float]) -> float:
        """Take the raw costs of a step's episodes, of all processes, and return the multiplier for this step. Without
        any it stays."""
        config = self.config
        self._costs = [*self._costs, *map(float, costs)][-config.window :]
        due = self._updates >= config.delay and bool(costs)
        self._updates += 1
        if due and config.kind != "fixed":
            move = {"log": self._log, "projected": self._projected, "pid": self._pid}[config.kind]
            self.value = move(self.mean_cost, self.mean_cost - config.budget)
        return self.value

    def _projected(self, mean: float, over: float) -> float:
        return min(max(self.value + self.config.rate * over, 0.0), self.config.cap)

    def _log(self, mean: float, over: float) -> float:
        config = self.config
        step = math.log(self.value) + config.rate * self.value * over
        return min(max(math.exp(min(step, math.log(config.cap))), config.floor), config.cap)

    def _pid(self, mean: float, over: float) -> float:
        config = self.config
        self._i = min(max(self._i + config.integral * over, 0.0), config.cap)  # the cap keeps it from winding up
        self._p = config.smooth * self._p + (1 - config.smooth) * over
        # starts at the first mean, not at 0: that would count all of J_C as a rise
        smoothed = config.smooth * self._means[-1] + (1 - config.smooth) * mean if self._means else mean
        self._means = [*self._means, smoothed][-(config.lag + 1) :]
        rise = max(0.0, smoothed - self._means[0])
        found = config.proportional * self._p + self._i + config.derivative * rise
        return min(max(found, 0.0), config.cap)

    def state(self) -> dict[str, Any]:
        """All that the next update depends on, as plain values."""
        return {
            "value": self.value, "costs": list(self._costs), "updates": self._updates, "p": self._p, "i": self._i,
            "means": list(self._means),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.value, self._costs, self._updates = state["value"], list(state["costs"]), state["updates"]
        self._p, self._i, self._means = state["p"], state["i"], list(state["means"])
