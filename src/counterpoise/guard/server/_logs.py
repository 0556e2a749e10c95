"""Structured logs: one JSON object a line, ids, hashes and timings, never what somebody wrote."""

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._decision import ORDER, Decision

FIELDS = (
    "request_id", "path", "status", "ms", "policy", "verdict", "input", "output", "blocked", "degraded", "p_unsafe",
    "guard", "checks", "error", "fail_open",
)  # fmt: skip


Decisions = Mapping[str, Sequence[Decision]]
"""By side of the request: `input` and `output` in the proxy, otherwise one without a name."""


def verdict_line(decisions: Decisions) -> dict[str, Any]:
    """What a log line says of decisions: policies, verdicts, the largest p_unsafe, and which guards gave reasons."""
    every = [each for own in decisions.values() for each in own]
    if not every:
        return {}
    scores = [each.p_unsafe for each in every if each.p_unsafe is not None]
    guards = sorted({reason.guard for each in every for reason in each.reasons if reason.guard})
    return {
        "policy": "+".join(sorted({each.policy for each in every})),
        "verdict": "+".join(sorted({each.verdict for each in every})),
        "blocked": any(each.blocked for each in every),
        "degraded": any(each.degraded for each in every),
        "p_unsafe": round(max(scores), 4) if scores else None,
        "guard": "+".join(guards) or None,
        "checks": len(every),
    } | {side: max((each.verdict for each in own), key=ORDER.index) for side, own in decisions.items() if side and own}


class Lines(logging.Formatter):
    """What is known of a record, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)),
            "level": record.levelname.lower(),
        }
        line["event"] = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send the server's own log to the standard error; other loggers keep what they have."""
    log = logging.getLogger("counterpoise.guard")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
