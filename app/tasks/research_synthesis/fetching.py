"""Getting documents: all at once under one absolute deadline for the tool, one by one with retries for the
verifier. Folders are read below the document root only. Redirects are not followed and no more than two
megabytes are taken.
"""

import asyncio
import ipaddress
import os
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from app.tasks.deadline import DeadlinePassedError
from app.tasks.research_synthesis.declaration import DOCUMENTS_MAX

DOCUMENT_BYTES_MAX = 2_000_000
DOCUMENT_SCHEME = "document:"
DOCUMENT_ROOT_VARIABLE = "NACRE_DOCUMENT_ROOT"
DOCUMENT_SUFFIXES = frozenset({".txt", ".md", ".html", ".json"})
CACHED_DOCUMENTS_MAX = 256


class SourceUnavailableError(OSError):
    """A document could not be had: refused, missing, too large, outside the root, or not in time."""


class SourceReader:
    """The platform's own way to a document: callable url → bytes, as verifiers take it.

    Each attempt has its own deadline; what came is kept for `cache_seconds`: many tasks cite the same source.
    Raises SourceUnavailableError when the last attempt fails. Safe to share between threads; not for use
    inside a running event loop.
    """

    def __init__(
        self,
        *,
        deadline_seconds: float = 10.0,
        attempts: int = 3,
        cache_seconds: float = 300.0,
        document_root: Path | None = None,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._attempts = attempts
        self._cache_seconds = cache_seconds
        self._document_root = document_root
        self._cache: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, url: str) -> bytes:
        """The bytes of the document at `url`."""
        if url.startswith(DOCUMENT_SCHEME):
            return read_folder_document(url, self._document_root)
        with self._lock:
            kept = self._cache.get(url)
        if kept is not None and time.monotonic() - kept[0] < self._cache_seconds:
            return kept[1]
        raw = self._fetched(url)
        with self._lock:
            self._cache[url] = (time.monotonic(), raw)
            while len(self._cache) > CACHED_DOCUMENTS_MAX:
                self._cache.popitem(last=False)
        return raw

    def _fetched(self, url: str) -> bytes:
        why = "no attempt was made"
        for _ in range(self._attempts):
            try:
                return fetch_all([url], self._deadline_seconds)[url]
            except (SourceUnavailableError, DeadlinePassedError) as error:
                why = str(error)
        raise SourceUnavailableError(f"{url} could not be had in {self._attempts} attempts: {why}")


def fetch_all(urls: Sequence[str], deadline_seconds: float) -> dict[str, bytes]:
    """Every readable document of `urls`, fetched in parallel; one that is refused is left out.

    Raises:
        DeadlinePassedError: not all had answered in time.
        SourceUnavailableError: none could be read.
    """
    try:
        answers = asyncio.run(_fetch_all(list(dict.fromkeys(urls)), deadline_seconds))
    except TimeoutError as error:
        raise DeadlinePassedError(deadline_seconds) from error
    readable = {url: answer for url, answer in answers.items() if isinstance(answer, bytes)}
    if not readable:
        raise SourceUnavailableError(f"no document could be read: {list(map(str, answers.values()))[:1]}")
    return readable


def read_folder(folder: str, root: Path | None = None) -> dict[str, bytes]:
    """The documents (.txt, .md, .html, .json) that stand in `folder` below the root, by address.

    Raises:
        SourceUnavailableError: no root is configured, the folder is outside it, missing or empty.
    """
    place = _below_root(folder, root)
    files = sorted(path for path in place.glob("*") if path.suffix in DOCUMENT_SUFFIXES)
    if not files:
        raise SourceUnavailableError(f"folder {folder!r} has no documents")
    addresses = [f"{DOCUMENT_SCHEME}{folder}/{path.name}" for path in files[:DOCUMENTS_MAX]]
    return {address: read_folder_document(address, root) for address in addresses}


def read_folder_document(address: str, root: Path | None = None) -> bytes:
    """The bytes of `document:relative/path` below the root. Raises SourceUnavailableError."""
    path = _below_root(address.removeprefix(DOCUMENT_SCHEME), root)
    try:
        if path.stat().st_size > DOCUMENT_BYTES_MAX:
            raise SourceUnavailableError(f"{address} is larger than {DOCUMENT_BYTES_MAX} bytes")
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise SourceUnavailableError(f"{address} cannot be read") from error


def _below_root(relative: str, root: Path | None) -> Path:
    configured = os.environ.get(DOCUMENT_ROOT_VARIABLE)
    if root is None and not configured:
        raise SourceUnavailableError(f"no document root: set {DOCUMENT_ROOT_VARIABLE}")
    base = (root or Path(configured or "")).resolve()
    try:
        path = (base / relative).resolve()
    except ValueError as error:
        raise SourceUnavailableError("not a path") from error
    if not path.is_relative_to(base):
        raise SourceUnavailableError(f"{relative!r} is outside the document root")
    return path


async def _fetch_all(urls: list[str], deadline_seconds: float) -> dict[str, bytes | OSError]:
    is_local = all(_is_loopback(url) for url in urls)
    needs_tls = any(url.startswith("https:") for url in urls)
    # Reading the trust store costs more than a local fetch; without it https fails, never passes unchecked.
    trust = True if needs_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with (
        asyncio.timeout(deadline_seconds),
        httpx2.AsyncClient(timeout=None, verify=trust, trust_env=not is_local) as client,
    ):
        answers = await asyncio.gather(*(_fetch(client, url) for url in urls))
    return dict(zip(urls, answers, strict=True))


async def _fetch(client: httpx2.AsyncClient, url: str) -> bytes | OSError:
    taken = bytearray()
    try:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                taken += chunk
                if len(taken) > DOCUMENT_BYTES_MAX:
                    return SourceUnavailableError(f"{url} is larger than {DOCUMENT_BYTES_MAX} bytes")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return SourceUnavailableError(f"{url}: {type(error).__name__}: {error}")
    return bytes(taken)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
