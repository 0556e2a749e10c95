"""The application on a port, with HTTP connections that nobody can hold by being slow."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from counterpoise.base import InputError

from ._config import Limits, ServerConfig

CONNECTIONS = 1000
"""At the same time; beyond it requests get 503."""
SWITCH = 0.0005
"""Seconds after which a guard's thread that computes in Python must let others go on; an answer needs several turns."""


def options(config: ServerConfig) -> dict[str, Any]:
    """The settings of uvicorn that the application counts on."""
    return {
        "http": patient(config.limits), "ws": "none", "log_config": None, "access_log": False, "server_header": False,
        "timeout_keep_alive": 30, "limit_concurrency": CONNECTIONS,
    }  # fmt: skip


def check_address(config: ServerConfig) -> None:
    """Raises InputError for an address that cannot be listened on, before guards are loaded and the address is told."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        socket.create_server((config.host, config.port), family=family).close()
    except OSError as error:
        raise InputError(f"{config.host}:{config.port}: {(error.strerror or str(error)).lower()}") from error


def run(app: FastAPI, config: ServerConfig) -> None:
    """Listen until stopped. The guards are loaded by now, so whoever finds the port open is answered at once."""
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not look through all of it while requests wait
    sys.setswitchinterval(SWITCH)
    uvicorn.run(app, host=config.host, port=config.port, **options(config))


class _Timer:
    """Calls once, so many seconds after the first `start` that was not stopped."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def start(self, call: Callable[[], None]) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, call)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def patient(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with an end to what a client may leave undone.

    By itself it waits for ever for the rest of a head, for that of a body that was refused, and for a client that does
    not read. The body of a request that is being answered has its own limit, see `Bodies`.
    """

    class Patient(H11Protocol):
        def __init__(self, *given: Any, **named: Any):
            super().__init__(*given, **named)
            self._asks, self._reads = _Timer(limits.body_seconds), _Timer(limits.read_seconds)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():  # it closes when all has been sent, if ever
                self._reads.start(self.transport.abort)
            self._stop_if_answering()  # the next request may have been sent before

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reads.start(self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.transport.is_closing():
                self._reads.stop()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._reads.start(self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._asks.stop()
            self._reads.stop()

        def _watch(self) -> None:
            """A client has begun what it has not finished, unless a request of it is being answered."""
            if not self._stop_if_answering():
                self._asks.start(self.transport.abort)

        def _stop_if_answering(self) -> bool:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering:
                self._asks.stop()
            return answering

    return Patient
