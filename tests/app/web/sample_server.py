"""A server of the operator pages over `SampleMarket`, on a free port of loopback, in a thread."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from app.web.pages import build_pages
from services.domain.parameters import PLATFORM_PARAMETERS, ParameterRegistry
from tests.app.web.sample_tasks import START

NOW = SimpleNamespace(now_us=int(START.timestamp() * 1_000_000) + 130_000_000)


@contextmanager
def read_sample():
    """Stand in for a read transaction: the sample needs only its instant."""
    yield NOW


def sample_app(market):
    """Return an application with nothing but the operator pages."""
    app = FastAPI(openapi_url=None)
    app.include_router(build_pages(read_sample, ParameterRegistry(PLATFORM_PARAMETERS), market, market))
    return app


@contextmanager
def serving(app):
    """Serve `app` and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
