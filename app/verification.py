"""The platform's own verification: runs a task type's verifier on a result, with the platform's own fetch.

Stands between the loop, which asks, and `app.tasks`, which knows how. Documents are fetched only from allowed
origins, within a size and an absolute deadline, and kept for a while. It never believes what an agent sent.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from app.tasks.task_type import TaskType

DOCUMENT_LIMIT_BYTES = 2_000_000
FETCH_SECONDS = 30.0
KEPT_SECONDS = 600.0


class FetchRefusedError(OSError):
    """A document that the platform will not or cannot fetch."""


@dataclass
class DocumentFetcher:
    """Fetches documents from allowed origins (`http://host:port`), each at most once in ten minutes."""

    origins: tuple[str, ...]
    monotonic: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, url: str) -> bytes:
        """Return the document's bytes; raise FetchRefusedError for other origins, errors, size and time."""
        parts = urlsplit(url)
        if f"{parts.scheme}://{parts.netloc}" not in self.origins:
            msg = f"{parts.scheme}://{parts.netloc} is not an allowed origin of documents"
            raise FetchRefusedError(msg)
        with self._guard:
            lock = self._locks.setdefault(url, threading.Lock())
        with lock:
            found = self._kept.get(url)
            if found is not None and self.monotonic() - found[0] < KEPT_SECONDS:
                return found[1]
            content = self._fetch(url)
            self._kept[url] = (self.monotonic(), content)
            return content

    def _fetch(self, url: str) -> bytes:
        ends = self.monotonic() + FETCH_SECONDS
        content = b""
        try:
            with httpx2.stream("GET", url, timeout=FETCH_SECONDS, follow_redirects=False) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > DOCUMENT_LIMIT_BYTES or self.monotonic() > ends:
                        msg = f"{url} has over {DOCUMENT_LIMIT_BYTES} bytes or takes over {FETCH_SECONDS:g} s"
                        raise FetchRefusedError(msg)
        except httpx2.HTTPError as error:
            msg = f"{url} cannot be fetched: {type(error).__name__}"
            raise FetchRefusedError(msg) from error
        return content


@dataclass(frozen=True, slots=True)
class ResultVerifier:
    """Finds the task type's verifier and runs it."""

    task_types: Mapping[str, TaskType]
    fetch: Callable[[str], bytes]

    def __call__(
        self,
        task_type: str,
        public: Mapping[str, object],
        private: Mapping[str, object],
        result: Mapping[str, object],
    ) -> tuple[bool, Mapping[str, object]]:
        """Return (is it verified, reason and measures)."""
        kind = self.task_types.get(task_type)
        if kind is None:
            return False, {"reason": f"unknown_type: there is no task type {task_type!r}", "measures": {}}
        found = kind.load_verifier()(dict(public), dict(private), dict(result), self.fetch)
        return found.is_verified, {"reason": found.reason, "measures": dict(found.measures)}
