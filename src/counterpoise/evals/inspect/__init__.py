"""Between Inspect's values and ours: samples and messages that go to it, and tasks of `inspect_evals` as our cards."""

from ._sample import inspect_message, inspect_sample
from ._theirs import load_theirs

__all__ = ["inspect_message", "inspect_sample", "load_theirs"]
