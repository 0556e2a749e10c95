"""Judge an evaluation with a slow LLM judge; the parent kills it in the middle. argv: evaluation folder."""

import asyncio
import sys
from pathlib import Path

from inspect_ai.model import get_model
from mocked import said

from counterpoise.evals.judges import RUBRICS, RubricJudge, judge_run


async def answer(messages, tools, choice, config):
    with open(sys.argv[2], "a", encoding="utf-8") as log:  # every call that reached the judge
        log.write("call\n")
    await asyncio.sleep(0.03)
    return said("Class: full_refusal")


if __name__ == "__main__":
    model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    judge_run(Path(sys.argv[1]), RubricJudge(RUBRICS["xstest-rubric"], model, connections=2))
