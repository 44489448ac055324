"""The platform verifies by the task type's own verifier, with its own fetch, from allowed origins only."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.tasks.registry import load_registry
from app.tasks.verification import refused, verified
from app.verification import FetchRefusedError, NotCheckedError, ResultVerifier, allowed_fetch

SEEN: list[tuple[object, ...]] = []


def fetching_verifier(public, private, result, fetch):
    """Verify a result that quotes the document, as a task type's verifier would."""
    SEEN.append((public, private, result))
    return (
        verified("quoted") if fetch(public["url"]).decode() == result["quote"] else refused("misquoted", "no")
    )


def unavailable_verifier(_public, _private, _result, _fetch):
    """Say that the source could not be had."""
    return refused("source_unavailable", "the source did not answer")


def with_verifier(function):
    kind = load_registry().types["research_synthesis"]
    return {"quoting": replace(kind, verifier=f"{__name__}:{function}")}


@contextmanager
def source(content=b"the words"):
    """A source of documents on loopback; it counts how often it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/document")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_allowed_origin_is_fetched_once_and_kept():
    with source() as (origin, asked):
        fetch = allowed_fetch((origin,), None)
        assert [fetch(f"{origin}/document") for _ in range(3)] == [b"the words"] * 3
        assert asked == ["/document"]


def test_other_origins_are_not_even_asked():
    with source() as (origin, asked), source() as (other, other_asked):
        fetch = allowed_fetch((origin,), None)
        host = origin.removeprefix("http://")
        for url in (
            f"{other}/document",
            f"https://{host}/document",
            f"http://{host}.example/document",
            f"http://{host}@{other.removeprefix('http://')}/document",
            f"http://somebody@{host}/document",
            "ftp://127.0.0.1/document",
            "data:,document",
            "//127.0.0.1/document",
            "",
        ):
            with pytest.raises(FetchRefusedError):
                fetch(url)
        assert (asked, other_asked) == ([], [])


def test_nothing_is_fetched_by_default():
    with source() as (origin, asked):
        with pytest.raises(FetchRefusedError):
            allowed_fetch((), None)(f"{origin}/document")
        assert asked == []


def test_redirect_is_not_followed():
    with source() as (origin, asked):
        with pytest.raises(OSError, match="moved"):
            allowed_fetch((origin,), None)(f"{origin}/moved")
        assert set(asked) == {"/moved"}


def test_folder_is_read_and_not_left(tmp_path):
    root = tmp_path / "documents"
    root.mkdir()
    (root / "one.txt").write_text("from the folder")
    (tmp_path / "secret.txt").write_text("secret")
    fetch = allowed_fetch((), root)
    assert fetch("document:one.txt") == b"from the folder"
    for name in ("../secret.txt", str(tmp_path / "secret.txt"), "none.txt"):
        with pytest.raises(OSError, match=r"."):
            fetch(f"document:{name}")


@pytest.fixture
def registered(monkeypatch):
    """Make this module importable by the dotted path that a task type names."""
    monkeypatch.setattr("app.tasks.task_type.load", lambda path: globals()[path.rpartition(":")[2]])
    SEEN.clear()


def test_verifier_of_the_type_gets_the_task_and_the_platforms_own_fetch(registered):
    with source() as (origin, _):
        verify = ResultVerifier(with_verifier("fetching_verifier"), allowed_fetch((origin,), None))
        public, private = {"url": f"{origin}/document"}, {"key": 1}
        is_verified, found = verify("quoting", public, private, {"quote": "the words"})
        assert (is_verified, found["reason"]) == (True, "verified: quoted")
        assert [(public, private, {"quote": "the words"})] == SEEN
        is_verified, found = verify("quoting", public, private, {"quote": "other words"})
        assert (is_verified, found["reason"]) == (False, "misquoted: no")


def test_result_that_could_not_be_checked_is_not_called_wrong(registered):
    verify = ResultVerifier(with_verifier("unavailable_verifier"), allowed_fetch((), None))
    with pytest.raises(NotCheckedError):
        verify("quoting", {}, {}, {})


def test_type_that_this_process_does_not_know_is_left_to_another():
    with pytest.raises(NotCheckedError):
        ResultVerifier({}, allowed_fetch((), None))("quoting", {}, {}, {})


def test_real_verifier_refuses_a_result_that_is_no_result():
    types = load_registry().types
    kind = types["monte_carlo"]
    task = kind.prepare(dict(kind.example))
    verify = ResultVerifier(types, allowed_fetch((), None))
    is_verified, found = verify("monte_carlo", task.public, task.private, {"estimate": "a lot"})
    assert is_verified is False
    assert found["reason"].startswith("malformed_result")
