"""A real server on loopback over a test's platform, and sockets that misbehave on purpose."""

import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from app.api.application import build_api
from app.api.middleware import BodyLimit
from app.main import server_config


@contextmanager
def served(platform, *, body_seconds=None, **limits):
    """Serve the API as in production, with other limits; yield its port."""
    platform = replace(platform, settings=replace(platform.settings, host="127.0.0.1", port=0, **limits))
    app = build_api(platform)
    for layer in app.user_middleware:
        if layer.cls is BodyLimit and body_seconds is not None:
            layer.kwargs["seconds"] = body_seconds
    server = uvicorn.Server(server_config(app, platform.settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server did not start"
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        app.state.waiting_room.close()
        server.should_exit = True
        thread.join(timeout=20)
        platform.close()
    assert not thread.is_alive()


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def rest_of(connection):
    """Return everything until the other side closes."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def head_of(path, key, *, length=None, method="POST", number="1"):
    """Return the headers of a request."""
    lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: test", f"Authorization: Bearer {key}"]
    lines += [f"Idempotency-Key: {number}", "Content-Type: application/json"]
    lines += ["Transfer-Encoding: chunked"] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()
