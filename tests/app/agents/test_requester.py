"""The requester: a steady rate, bounded open tasks, documents from a source over HTTP."""

import asyncio
import threading
import time

import pytest

from app.agents.load import WEIGHTS
from app.agents.requester import LoadPlan, Requester, documents_of, silent_bidders
from app.demonstration.document_source import DocumentSource, Latency
from tests.app.agents.market_stub import task


@pytest.fixture
def source_url():
    """A fast document source on a loop of its own."""
    loop = asyncio.new_event_loop()
    source = DocumentSource(Latency.FAST, 1)
    port = loop.run_until_complete(source.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(source.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def run_for(requester: Requester, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        requester.step()


def test_it_posts_at_its_rate(client, stub):
    run_for(Requester(client, LoadPlan(20.0, 1, ())), 1.0)
    assert 15 <= len(stub.of("POST", "/tasks")) <= 22
    assert {call.body["type"] for call in stub.of("POST", "/tasks")} <= set(WEIGHTS)


def test_it_waits_while_too_many_are_open(client, stub):
    stub.tasks = {number: task(number, state="leased") for number in range(6)}
    requester = Requester(client, LoadPlan(50.0, 1, (), open_max=5))
    run_for(requester, 0.3)
    assert not stub.of("POST", "/tasks")
    assert {call.query["requester"] for call in stub.of("GET", "/tasks")} == {"me"}
    stub.tasks.clear()
    run_for(requester, 1.2)
    assert stub.of("POST", "/tasks")


def test_it_never_opens_more_than_allowed_between_counts(client, stub):
    run_for(Requester(client, LoadPlan(100.0, 1, (), open_max=5)), 0.5)
    assert len(stub.of("POST", "/tasks")) == 5


def test_a_refused_task_is_no_crash(client, stub):
    stub.refusals["/tasks"] = (402, "insufficient_funds", {})
    run_for(Requester(client, LoadPlan(20.0, 1, ())), 0.3)
    assert len(stub.of("POST", "/tasks")) > 2


def test_it_reads_its_documents_from_the_source(source_url):
    documents = documents_of(source_url)
    assert len(documents) >= 20
    assert all(one.url.startswith(source_url) and len(one.text) > 200 for one in documents)


def test_without_a_source_there_are_no_documents(monkeypatch, stub):
    monkeypatch.setattr("app.agents.requester.RECOUNT_SECONDS", 0.0)
    assert documents_of(stub.url) == ()


def test_bidders_that_have_not_shown_up_are_named():
    def agent(name, scopes, last_active_at):
        return {
            "name": name,
            "scopes": scopes,
            "registered_at": "2026-01-01T00:00:00.000000Z",
            "last_active_at": last_active_at,
        }

    agents = [
        agent("loading", ["bid"], "2026-01-01T00:00:00.000000Z"),
        agent("ready", ["bid"], "2026-01-01T00:00:03.000000Z"),
        agent("voter", ["vote"], "2026-01-01T00:00:00.000000Z"),
    ]
    assert silent_bidders(agents) == ["loading"]
