"""Fetching has an absolute deadline, a size limit, a root it does not leave, and a memory."""

import asyncio
import contextlib
import threading
import time
from contextlib import contextmanager

import pytest

from app.tasks.deadline import DeadlinePassedError
from app.tasks.research_synthesis import fetching
from app.tasks.research_synthesis.fetching import (
    SourceReader,
    SourceUnavailableError,
    fetch_all,
    read_folder,
    read_folder_document,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


@contextmanager
def scripted_server(*answers):
    """A server on loopback: connection n is answered by the n-th of `answers`, later ones by the last."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asked = []
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        asked.append(time.monotonic())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await answers[min(len(asked), len(answers)) - 1](writer)
        writer.close()

    async def stop(server):
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result(10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def prompt(writer):
    writer.write(HEAD % 5 + b"hello")
    await writer.drain()


async def silent(_writer):
    await asyncio.sleep(60)


async def trickling(writer):
    writer.write(HEAD % 1000)
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def refusing(writer):
    writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


async def redirecting(writer):
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def huge(writer):
    writer.write(HEAD % 50_000_000)
    for _ in range(500):
        writer.write(b"x" * 100_000)
        await writer.drain()


def test_documents_are_asked_for_at_the_same_time():
    async def slow(writer):
        await asyncio.sleep(0.15)
        await prompt(writer)

    with scripted_server(slow) as (url, asked):
        found = fetch_all([f"{url}/{number}" for number in range(4)], 5.0)
    assert found == {f"{url}/{number}": b"hello" for number in range(4)}
    assert max(asked) - min(asked) < 0.14


@pytest.mark.parametrize("answer", [silent, trickling])
def test_the_deadline_is_absolute(answer):
    started = time.monotonic()
    with scripted_server(answer) as (url, _), pytest.raises(DeadlinePassedError, match=r"0\.3 s"):
        fetch_all([url], 0.3)
    assert 0.25 < time.monotonic() - started < 2.0


@pytest.mark.parametrize(("answer", "why"), [(redirecting, "302"), (refusing, "503"), (huge, "larger than")])
def test_what_is_no_document_is_refused(answer, why):
    with scripted_server(answer) as (url, _), pytest.raises(SourceUnavailableError, match=why):
        fetch_all([url], 5.0)


def test_nobody_there_is_said():
    with pytest.raises(SourceUnavailableError, match="ConnectError"):
        fetch_all(["http://127.0.0.1:1/"], 5.0)


def test_the_reader_tries_again_and_remembers():
    with scripted_server(silent, refusing, prompt) as (url, asked):
        reader = SourceReader(deadline_seconds=0.2, attempts=3)
        assert reader(url) == b"hello"
        assert len(asked) == 3
        assert reader(url) == b"hello"
        assert len(asked) == 3


def test_the_reader_gives_up_and_forgets_in_time():
    with scripted_server(refusing, prompt, prompt) as (url, asked):
        reader = SourceReader(deadline_seconds=1.0, attempts=1, cache_seconds=0.0)
        with pytest.raises(SourceUnavailableError, match="1 attempts"):
            reader(url)
        assert reader(url) == reader(url) == b"hello"
        assert len(asked) == 3


def test_a_folder_is_read_below_its_root_only(tmp_path):
    root = tmp_path / "root"
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "one.txt").write_text("one")
    (root / "notes" / "picture.png").write_bytes(b"png")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "notes" / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(SourceUnavailableError, match="outside"):
        read_folder("notes", root)
    (root / "notes" / "link.txt").unlink()
    assert read_folder("notes", root) == {"document:notes/one.txt": b"one"}
    for address in (
        "document:../secret.txt",
        "document:notes/../../secret.txt",
        f"document:{tmp_path}/secret.txt",
    ):
        with pytest.raises(SourceUnavailableError, match="outside"):
            read_folder_document(address, root)


@pytest.mark.parametrize("address", ["document:gone.txt", "document:.", "document:a\0b"])
def test_what_is_no_file_is_said(tmp_path, address):
    with pytest.raises(SourceUnavailableError):
        read_folder_document(address, tmp_path)


def test_no_root_no_reading(monkeypatch):
    monkeypatch.delenv(fetching.DOCUMENT_ROOT_VARIABLE, raising=False)
    with pytest.raises(SourceUnavailableError, match="NACRE_DOCUMENT_ROOT"):
        read_folder("notes")
