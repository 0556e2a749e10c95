"""The reply to a multiple-choice question, from the log probabilities of its options."""

from collections.abc import Sequence
from math import isfinite

from counterpoise.chat import Sample
from counterpoise.models import Answer

from ._reply import answered


def chosen(sample: Sample, scores: Sequence[float]) -> Answer:
    """The option with the largest log probability. Where one is no finite number the model chose nothing: such a reply
    is empty, with the problem `not_finite`."""
    if not all(map(isfinite, scores)):
        return answered("", reasoning="", problem="not_finite")
    return answered(sample.choices[max(range(len(scores)), key=scores.__getitem__)], reasoning="")
