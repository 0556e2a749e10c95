"""What Inspect finds through the entry point `inspect_ai`: the local provider. Heavy imports stay inside."""

from typing import Any

from inspect_ai.model import modelapi

from counterpoise.evals.judges.inspect_scorer import judge  # noqa: F401 (the scorer, for `inspect score`)
from counterpoise.evals.judges.two_axes import two_axes  # noqa: F401 (win rates of one answer over another)
from counterpoise.evals.tasks import *  # noqa: F403 (the tasks, for `inspect eval counterpoise/...`)


@modelapi(name="counterpoise")
def counterpoise() -> Any:
    """`counterpoise/<model>`: a local Hugging Face model, with or without images, batched by our engine."""
    from counterpoise.models import CounterpoiseAPI

    return CounterpoiseAPI


@modelapi(name="counterpoise-icons")
def counterpoise_icons() -> Any:
    """`counterpoise-icons/expert`: plays the roles of `counterpoise data mis` by rules, about our own pictures."""
    from counterpoise.methods.mis import IconExpert

    return IconExpert
