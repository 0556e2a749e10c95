"""The same intent in several task formats (plain, summarise, code, translate, classify) and modalities, harmful and
benign side by side: what the drift audit asks, and what a multi-task safety set is built from."""

from ._formats import MODALITIES, TASKS, WORDINGS, TaskFormat, TaskModality, in_format
from ._intents import Intent, intents, read_intents, render, training_intents
from ._published import read_multitaskbench, task_of

__all__ = [
    "MODALITIES",
    "TASKS",
    "WORDINGS",
    "Intent",
    "TaskFormat",
    "TaskModality",
    "in_format",
    "intents",
    "read_intents",
    "read_multitaskbench",
    "render",
    "task_of",
    "training_intents",
]
