"""The source serves its documents, as slowly as it says, by a latency anybody can recompute."""

import http.client
import json
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from app.demonstration.corpus import DOCUMENTS, QUESTIONS, document_urls
from app.demonstration.document_source import (
    FAST_SECONDS,
    HEAVY_TAIL,
    NEVER_SECONDS,
    OVERHEAD_SECONDS,
    Latency,
    latency_seconds,
)
from tests.app.demonstration.running_source import running_source

READERS = 20_000


def slowest_of_three(latency, seed):
    for reader in range(READERS):
        yield OVERHEAD_SECONDS + max(
            latency_seconds(latency, seed, 3 * reader + number) for number in range(3)
        )


@pytest.mark.parametrize("seed", [1, 7])
def test_a_third_of_heavy_readers_wait_longer_than_the_shipped_timeout_and_few_longer_than_twice_that(seed):
    waits = list(slowest_of_three(Latency.HEAVY, seed))
    assert sum(wait > 0.9 for wait in waits) / READERS == pytest.approx(1 / 3, abs=0.012)
    assert sum(wait > 1.8 for wait in waits) / READERS == pytest.approx(0.06, abs=0.006)


def test_a_third_of_the_readers_of_a_stuck_source_wait_for_ever_and_the_others_hardly():
    waits = list(slowest_of_three(Latency.STUCK, 7))
    stuck = [wait for wait in waits if wait > 1]
    assert len(stuck) / READERS == pytest.approx(1 / 3, abs=0.012)
    assert min(stuck) > NEVER_SECONDS
    assert max(wait for wait in waits if wait < 1) < 0.2


def test_latency_is_a_pure_function_of_seed_and_request():
    first = [latency_seconds(Latency.HEAVY, 7, number) for number in range(5)]
    assert first == [latency_seconds(Latency.HEAVY, 7, number) for number in range(5)]
    assert len(set(first)) == 5
    assert first[0] != latency_seconds(Latency.HEAVY, 8, 0)
    assert latency_seconds(Latency.FAST, 7, 0) == FAST_SECONDS
    assert min(first) >= HEAVY_TAIL.minimum


def answer_to(url, path, method="GET"):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body)


def test_every_document_is_listed_and_served():
    with running_source() as url:
        status, index = answer_to(url, "/index.json")
        assert status == 200
        assert [entry["name"] for entry in index] == list(DOCUMENTS)
        for entry in index[:3]:
            status, document = answer_to(url, entry["url"])
            assert (status, document["text"]) == (200, DOCUMENTS[entry["name"]].text)
        assert answer_to(url, "/documents/nothing")[0] == 404
        assert answer_to(url, "/elsewhere")[0] == 404
        assert answer_to(url, "/documents/escrow", "POST")[0] == 405


def test_asking_again_is_a_new_draw():
    slow, quick = 1, 2
    seed = next(
        seed
        for seed in range(1000)
        if latency_seconds(Latency.HEAVY, seed, slow) > 0.7
        and latency_seconds(Latency.HEAVY, seed, quick) < 0.4
    )
    with running_source(Latency.HEAVY, seed) as url:
        waits = []
        for _ in (slow, quick):
            started = time.monotonic()
            answer_to(url, "/documents/escrow")
            waits.append(time.monotonic() - started)
    assert waits[0] > 0.7 > waits[1]


def test_it_runs_as_a_program_and_ends_when_told_even_while_somebody_waits():
    command = [sys.executable, "-m", "app.demonstration.document_source", "--port", "0", "--latency", "stuck"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        announced = json.loads(process.stdout.readline())
        assert announced["url"] == f"http://127.0.0.1:{announced['port']}"
        assert len(answer_to(announced["url"], "/index.json")[1]) == len(DOCUMENTS)
        waiting = http.client.HTTPConnection("127.0.0.1", announced["port"], timeout=10)
        waiting.request("GET", "/documents/escrow")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        waiting.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_client_that_hangs_up_or_talks_nonsense_leaves_the_source_serving():
    with running_source(Latency.STUCK, seed=7) as url:
        for said in (b"GET /documents/escrow HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n", b""):
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
            connection.connect()
            connection.sock.sendall(said)
            connection.close()
        assert answer_to(url, "/index.json")[0] == 200


def test_documents_and_questions_are_what_they_should_be():
    assert len(DOCUMENTS) >= 24
    assert len(QUESTIONS) >= 30
    assert all(100 <= len(document.text.split()) <= 200 for document in DOCUMENTS.values())
    assert all(len(set(question.documents)) == 3 for question in QUESTIONS)
    assert all(name in DOCUMENTS for question in QUESTIONS for name in question.documents)
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)
    assert document_urls(QUESTIONS[0], "http://h:1")[0] == "http://h:1/documents/escrow"
