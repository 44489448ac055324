"""No test reaches beyond this machine: every Python socket that tries is refused, and the test turns red.

It guards `socket.socket`, which is what http clients, asyncio and the standard library use. libpq and uvloop
open sockets of their own in C: an outside PostgreSQL named in TEST_DB_URL is therefore reachable on purpose.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class SocketRefusedError(RuntimeError):
    """A test tried to leave loopback. Not an OSError: code that forgives network trouble must not hide it."""


def is_local(family: int, address: Any) -> bool:
    """Tell whether `address` is on this machine: a UNIX socket, a loopback address or `localhost`."""
    if family == socket.AF_UNIX:
        return True
    host = str(address[0]) if isinstance(address, tuple) else str(address)
    if host in {"localhost", ""}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a connect method of `socket.socket` so that it refuses what is not local."""

    def refuse_or_connect(self: socket.socket, address: Any) -> Any:
        if not is_local(self.family, address):
            raise SocketRefusedError(
                f"a test tried to connect to {address!r}; serve what it needs on 127.0.0.1 instead"
            )
        return connect(self, address)

    return refuse_or_connect


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Keep every socket of the run on loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        yield
