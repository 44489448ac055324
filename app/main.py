"""Serving: one process with the API, the operator pages, the cron runner, the bus and the embedded fleet.

Stands behind `nacre up` and under a lap. Servers listen on loopback unless told otherwise. It never decides
anything; what it starts, it stops.
"""

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from app.agents.client import ApiProblem, UnreachableError
from app.agents.fleet import FLEET, AgentSpec
from app.agents.keyring import Keyring
from app.agents.supervisor import Supervisor
from app.api.application import build_api
from app.bootstrap import Platform, Runtime, calm_collector, open_platform
from app.http_protocol import BoundedConnection
from app.keys import operator_key
from app.reports.serving import build_report_pages
from app.settings import Settings
from app.web.pages import build_pages
from app.workings import PlatformWorkings

log = logging.getLogger(__name__)

START_SECONDS = 30.0
POLL_SECONDS = 0.2
BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 5
KEYRING_FILE = "fleet-keys.json"


class StartError(RuntimeError):
    """The server could not start; the message says why."""


def build_app(platform: Platform) -> FastAPI:
    """Return the API and the operator pages of a platform as one application."""
    app = build_api(platform)
    app.include_router(build_pages(platform.store.read, platform.registry, PlatformWorkings(platform)))
    app.include_router(build_report_pages(platform.store.read))
    return app


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the application is served: uvloop where there is one, httptools, bounded connections."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        loop="auto",
        http=BoundedConnection,
        ws="none",
        backlog=BACKLOG,
        limit_concurrency=settings.connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )


@dataclass(frozen=True, slots=True)
class Serving:
    """A platform that is being served at `url`."""

    platform: Platform
    url: str
    supervisor: Supervisor | None


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` if nobody listens there, else a free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = f"no port is free on {host}"
    raise StartError(msg)


@contextmanager
def serving(settings: Settings, *, fleet: Sequence[AgentSpec]) -> Iterator[Serving]:
    """Run the platform with its server, background work and fleet until the block ends.

    Raises StartError when the server does not come up.
    """
    platform = open_platform(settings)
    runtime = Runtime(platform)
    app = build_app(platform)
    server = uvicorn.Server(server_config(app, settings))
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    app.state.readiness.is_warm = False
    supervised: Supervised | None = None
    try:
        thread.start()
        _await_start(server, thread, settings)
        before = set(threading.enumerate())
        runtime.start()
        app.state.liveness.watch(set(threading.enumerate()) - before)
        app.state.readiness.is_warm = True
        url = f"http://{settings.host}:{settings.port}"
        if fleet:
            supervised = Supervised(settings, url, fleet)
            supervised.start()
        with calm_collector():
            yield Serving(platform, url, supervised.supervisor if supervised else None)
    finally:
        if supervised is not None:
            supervised.stop()
        app.state.liveness.watch(())
        runtime.stop()
        app.state.waiting_room.close()
        server.should_exit = True
        thread.join(timeout=10)
        platform.close()


def _await_start(server: uvicorn.Server, thread: threading.Thread, settings: Settings) -> None:
    ends = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > ends:
            msg = f"the server did not start on {settings.host}:{settings.port}; is the port in use?"
            raise StartError(msg)
        time.sleep(0.01)


class Supervised:
    """The fleet's supervisor with the thread that looks after it."""

    def __init__(self, settings: Settings, url: str, fleet: Sequence[AgentSpec]) -> None:
        key = settings.operator_key or operator_key(settings.var_directory)
        keyring = Keyring(settings.var_directory / KEYRING_FILE)
        self.supervisor = Supervisor(url, key, fleet, keyring=keyring)
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fleet", daemon=True)

    def start(self) -> None:
        """Register and start every agent; raise StartError when the API refuses one."""
        try:
            self.supervisor.start()
        except (ApiProblem, UnreachableError) as error:
            msg = f"the fleet could not be registered: {error}"
            raise StartError(msg) from error
        self._thread.start()

    def stop(self) -> None:
        """End every agent."""
        self._is_stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.supervisor.stop()

    def _watch(self) -> None:
        while not self._is_stopping.wait(POLL_SECONDS):
            self.supervisor.poll()


def serve(settings: Settings, *, fleet: bool) -> int:
    """Serve until Ctrl-C or SIGTERM; return the process's exit code."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        with serving(settings, fleet=FLEET if fleet else ()) as running:
            sys.stdout.write(
                f"Nacre serves {running.url} (pages), {running.url}/docs (API). Ctrl-C ends it.\n"
            )
            sys.stdout.write(f"The operator's key is in {settings.var_directory}/operator.key.\n")
            sys.stdout.flush()
            done.wait()
    except StartError as error:
        sys.stderr.write(f"nacre: {error}\n")
        return 1
    return 0
