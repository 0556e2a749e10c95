"""Run one evaluation and log every prompt that reaches the model; the parent kills it in the middle.

argv: model folder, out folder, file of calls.
"""

import sys
from pathlib import Path

from counterpoise.evals import evaluate
from counterpoise.models import Engine

if __name__ == "__main__":
    submit = Engine.submit

    def counted(self, conversation, decoding=None):
        with open(sys.argv[3], "a", encoding="utf-8") as log:
            log.write("call\n")
        return submit(self, conversation, decoding)

    Engine.submit = counted
    evaluate(sys.argv[1], ["twins-validation"], out=Path(sys.argv[2]), run="r", limit=64, max_new_tokens=3, batch=4)
