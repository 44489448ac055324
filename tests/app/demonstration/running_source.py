"""A document source that runs in a thread of its own for as long as a test needs it."""

import asyncio
import threading
from contextlib import contextmanager

from app.demonstration.document_source import DocumentSource, Latency


@contextmanager
def running_source(latency=Latency.FAST, seed=7):
    """The address of a source on loopback."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    source = DocumentSource(latency, seed)
    try:
        port = asyncio.run_coroutine_threadsafe(source.start(), loop).result(10)
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(source.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
