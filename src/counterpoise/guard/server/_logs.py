"""Structured logs: one JSON object a line, ids, hashes and timings, never what somebody wrote."""

import json
import logging
import sys
import time

FIELDS = (
    "request_id", "path", "status", "ms", "policy", "verdict", "blocked", "degraded", "guard", "error", "fail_open",
)  # fmt: skip


class _Lines(logging.Formatter):
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
    handler.setFormatter(_Lines())
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
