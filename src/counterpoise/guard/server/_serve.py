"""The application on a port."""

import gc
from typing import Any

import uvicorn
from fastapi import FastAPI

from ._config import ServerConfig
from ._protocol import patient

CONNECTIONS = 1000
"""At the same time; beyond it requests get 503."""


def options(config: ServerConfig) -> dict[str, Any]:
    """The settings of uvicorn that the application counts on."""
    return {
        "http": patient(config.limits), "ws": "none", "log_config": None, "access_log": False, "server_header": False,
        "timeout_keep_alive": 30, "limit_concurrency": CONNECTIONS,
    }  # fmt: skip


def run(app: FastAPI, config: ServerConfig) -> None:
    """Listen until stopped. The guards are loaded by now, so whoever finds the port open is answered at once."""
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not look through all of it while requests wait
    uvicorn.run(app, host=config.host, port=config.port, **options(config))
