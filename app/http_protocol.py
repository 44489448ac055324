"""The server's HTTP connections with a time limit where uvicorn has none: connecting, headers, leftovers.

Stands under the server. A connection that does not finish the headers of a request in time, or sends too
many of them, is closed; so is one that goes on sending a body after it has been answered. It never looks
into a request.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEADER_SECONDS = 10.0
HEADER_LIMIT_BYTES = 65_536
REQUEST_HEADERS_TOO_LARGE = 431


class BoundedConnection(HttpToolsProtocol):
    """One connection whose headers have to arrive in time."""

    header_seconds = HEADER_SECONDS
    _due: asyncio.TimerHandle | None = None
    _is_in_headers = False
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; close where headers come without end."""
        super().data_received(data)
        if not self._is_in_headers:
            return
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_LIMIT_BYTES:
            self._close_with(REQUEST_HEADERS_TOO_LARGE)
        elif self._due is None:
            self._await_headers()

    def on_message_begin(self) -> None:
        """Note that headers begin."""
        self._is_in_headers = True
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the headers are there."""
        self._is_in_headers = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the whole request is there."""
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give a body that is still coming although its request was answered as long as headers have."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and self._due is None:
            self._await_headers()

    def _await_headers(self) -> None:
        self._due = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _close_with(self, status: int) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
