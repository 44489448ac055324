"""Claude writes from retrieved passages, over real HTTP to a stub; when it fails, the extract stands in."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.demonstration.corpus import QUESTIONS, document_urls
from app.tasks.research_synthesis.fetching import SourceReader
from tests.app.demonstration.running_source import running_source
from tests.app.tasks.trials import judged, prepared, worked

pytest.importorskip("anthropic", reason="the claude extra is not installed")
NAME = "research_synthesis"
QUESTION = QUESTIONS[0]
ANSWER = (
    "Escrow protects the requester and the agent until the verifier has spoken [3]. "
    "The verifier waits [1][99]."
)


@contextmanager
def stub_claude(status=200, text=ANSWER):
    """Answers every message with `text`; yields its address and what it was asked."""
    asked = []

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            message = {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": asked[-1]["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 10},
            }
            failure = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
            body = json.dumps(message if status == 200 else failure).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def source():
    with running_source() as url:
        yield url


def task_for(source, *, use_claude=True):
    urls = document_urls(QUESTION, source)
    return prepared(NAME, question=QUESTION.text, urls=urls, use_claude=use_claude)


def answered(monkeypatch, task, base_url, key="test-key"):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", base_url)
    if key:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    else:
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    return worked(NAME, task)


def test_claude_writes_the_answer_and_the_quotes_are_verified_all_the_same(monkeypatch, source):
    task = task_for(source)
    with stub_claude() as (url, asked):
        result = answered(monkeypatch, task, url)
    assert result["synthesised_by"] == "claude:claude-sonnet-5-5"
    assert result["answer"].endswith("spoken [1]. The verifier waits [2].")
    assert "temperature" not in asked[0]
    passages = asked[0]["messages"][0]["content"]
    assert all(citation["quote"] in passages for citation in result["citations"])
    assert f"[3] {result['citations'][0]['quote']}" in passages
    assert judged(NAME, task, result, SourceReader()).is_verified


def test_the_model_is_configurable(monkeypatch, source):
    monkeypatch.setenv("NACRE_CLAUDE_MODEL", "claude-haiku-5-5")
    with stub_claude() as (url, asked):
        assert answered(monkeypatch, task_for(source), url)["synthesised_by"] == "claude:claude-haiku-5-5"
    assert asked[0]["model"] == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("stub", "why"),
    [
        ({"status": 529}, "529"),
        ({"text": "I cite nothing."}, "cites no passage"),
        ({"text": "See [77]."}, "cites"),
    ],
    ids=["overloaded", "no citation", "unknown citation"],
)
def test_a_failing_claude_is_replaced_by_the_extract_and_that_is_said(monkeypatch, source, stub, why):
    task = task_for(source)
    with stub_claude(**stub) as (url, asked):
        result = answered(monkeypatch, task, url)
    assert len(asked) == 1
    assert result["synthesised_by"].startswith("extractive (Claude was not available: ")
    assert why in result["synthesised_by"]
    assert judged(NAME, task, result, SourceReader()).is_verified


@pytest.mark.parametrize(
    ("use_claude", "key"), [(False, "test-key"), (True, "")], ids=["not asked", "no key"]
)
def test_claude_is_not_called_unasked_or_without_a_key(monkeypatch, source, use_claude, key):
    with stub_claude() as (url, asked):
        result = answered(monkeypatch, task_for(source, use_claude=use_claude), url, key)
    assert result["synthesised_by"] == "extractive"
    assert asked == []
