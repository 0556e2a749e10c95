"""What the pocket model is trained and tested on. Everything depends on the seed alone.

Training: `harmful_requests` and `benign_requests` (text), `harmless_instructions` (benign images with answers),
`image_requests` (benign requests in images, to be answered by the model itself), `bound_requests` (the same, drawn for
variety, to be bound to their text twins), `system_questions` (benign images, asked in the wordings of judges,
multi-image methods and captioners), `ordinary_instructions` (all benign kinds mixed), `rejection_source`
(out-of-domain benign images whose answers rejection-mix replaces), `task_rows` and `word_tasks` (benign text tasks to
fine-tune on), and `preference_pairs` (two replies with two orders, labelled by the rule `rate_reply`; `prefer` makes a
pair of any two replies). Tests: `reading_test`, `naming_test`, `counting_test`, `arithmetic_test`, `question_test`,
`system_test`, `word_task_test` and `rejection_domain_test`. No training sample holds a validation or test family or
icon style. `rewrites` (with `unsafe_words`, and the `counterfactuals` of its `group_terms`) trains and tests rewriters.

Their parts, for further sets: the hand-written lists (`phrases`, of which the pocket can read those that are
`readable`), `REFUSALS`, the texts that stand beside prints (`FOLLOW`, and `JOIN` beside two), one `printed` page, and
the wording of names (`named`, `asked`).
"""

from ._bound import bound_phrases, bound_requests
from ._capability import arithmetic_test, counting_test, naming_test, question_test, reading_test
from ._charts import rejection_domain_test, rejection_source
from ._preferences import DECLINES, FORMS, Form, form_of, prefer, preference_pairs, rate_reply
from ._requests import FOLLOW, JOIN, image_requests, ordinary_instructions
from ._rewrites import counterfactuals, group_terms, rewrites, unsafe_words
from ._systems import system_questions, system_test
from ._tasks import TASK_SETS, task_rows
from ._texts import REFUSALS, benign_requests, harmful_requests, phrases, readable
from ._visual import asked, harmless_instructions, named, printed
from ._word_tasks import TaskSplit, task_words, word_task_test, word_tasks

__all__ = [
    "DECLINES",
    "FOLLOW",
    "FORMS",
    "JOIN",
    "REFUSALS",
    "TASK_SETS",
    "Form",
    "TaskSplit",
    "arithmetic_test",
    "asked",
    "benign_requests",
    "bound_phrases",
    "bound_requests",
    "counterfactuals",
    "counting_test",
    "form_of",
    "group_terms",
    "harmful_requests",
    "harmless_instructions",
    "image_requests",
    "named",
    "naming_test",
    "ordinary_instructions",
    "phrases",
    "prefer",
    "preference_pairs",
    "printed",
    "question_test",
    "rate_reply",
    "readable",
    "reading_test",
    "rejection_domain_test",
    "rejection_source",
    "rewrites",
    "system_questions",
    "system_test",
    "task_rows",
    "task_words",
    "unsafe_words",
    "word_task_test",
    "word_tasks",
]
