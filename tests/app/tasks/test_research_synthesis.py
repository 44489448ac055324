"""Answers from a running source of documents: what is quoted stands there, what is asked is covered."""

import json
import time

import pytest
from pydantic import ValidationError

from app.demonstration.corpus import DOCUMENTS, QUESTIONS, document_urls
from app.demonstration.document_source import Latency, latency_seconds
from app.tasks.deadline import DeadlinePassedError
from app.tasks.research_synthesis.fetching import SourceReader, SourceUnavailableError
from tests.app.demonstration.running_source import running_source
from tests.app.tasks.trials import codes, judged, prepared, worked

NAME = "research_synthesis"


@pytest.fixture(scope="module")
def source():
    with running_source() as url:
        yield url


@pytest.fixture(scope="module")
def fetch():
    return SourceReader(deadline_seconds=5.0)


def asked(source, number=0, **changes):
    question = QUESTIONS[number]
    return {"question": question.text, "urls": document_urls(question, source), **changes}


def test_full_effort_verifies_for_every_question(source, fetch):
    payloads = [asked(source, number) for number in range(len(QUESTIONS))]
    assert codes(NAME, payloads, 1.0, fetch) == ["verified"] * len(QUESTIONS)


def test_poor_effort_misses_key_terms_often_and_not_always(source, fetch):
    found = codes(NAME, [asked(source, number) for number in range(len(QUESTIONS))], 0.35, fetch)
    assert 2 <= found.count("verified") <= 15
    assert set(found) == {"verified", "terms_not_covered"}


def test_every_citation_stands_word_for_word_in_its_document(source):
    result = worked(NAME, prepared(NAME, **asked(source)))
    assert result["synthesised_by"] == "extractive"
    assert result["documents_read"] == 3
    assert len(result["citations"]) == 6
    for citation in result["citations"]:
        assert citation["quote"] in DOCUMENTS[citation["url"].rpartition("/")[2]].text
        assert citation["quote"] in result["answer"]


def test_the_value_in_force_decides_how_many_passages(source):
    assert len(worked(NAME, prepared(NAME, **asked(source, passages=4)))["citations"]) == 4


def test_an_index_of_documents_will_do_instead_of_a_list(source, fetch):
    task = prepared(NAME, question=QUESTIONS[0].text, urls=None, source_index_url=f"{source}/index.json")
    result = worked(NAME, task)
    assert result["documents_read"] == len(DOCUMENTS)
    assert judged(NAME, task, result, fetch).is_verified


def test_a_folder_of_documents_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("NACRE_DOCUMENT_ROOT", str(tmp_path))
    (tmp_path / "notes").mkdir()
    for name in QUESTIONS[0].documents:
        (tmp_path / "notes" / f"{name}.md").write_text(DOCUMENTS[name].text)
    task = prepared(NAME, question=QUESTIONS[0].text, urls=None, folder="notes")
    result = worked(NAME, task)
    assert result["citations"][0]["url"].startswith("document:notes/")
    assert judged(NAME, task, result, SourceReader()).is_verified
    outside = [{**citation, "url": "document:notes/../secret.md"} for citation in result["citations"]]
    assert judged(NAME, task, {**result, "citations": outside}, SourceReader()).code == "foreign_source"


def tampered(result, **changes):
    first, *others = result["citations"]
    return {**result, "citations": [{**first, **changes}, *others]}


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (
            lambda result, source: tampered(result, quote="Escrow doubles every reward at midnight."),
            "quote_not_found",
            "result.citations.0.quote",
        ),
        (
            lambda result, source: tampered(result, quote=result["citations"][0]["quote"].upper()),
            "quote_not_found",
            "result.citations.0.quote",
        ),
        (
            lambda result, source: tampered(result, url=f"{source}/documents/pearls"),
            "foreign_source",
            "result.citations.0.url",
        ),
        (
            lambda result, source: {**result, "citations": result["citations"][:1] * 6},
            "too_few_citations",
            "1 different",
        ),
        (
            lambda result, source: {
                **result,
                "answer": "Buy now, the price is rising fast everywhere today.",
            },
            "answer_off_topic",
            "question",
        ),
        (
            lambda result, source: {
                **result,
                "answer": "escrow requester agent verifier " + "gold rocket banana volcano zebra quartz " * 5,
            },
            "answer_not_grounded",
            "no quote",
        ),
    ],
    ids=["invented", "shouted", "other source", "repeated", "off topic", "made up around key words"],
)
def test_a_tampered_answer_is_refused(source, fetch, change, code, named):
    task = prepared(NAME, **asked(source))
    verdict = judged(NAME, task, change(worked(NAME, task), source), fetch)
    assert (verdict.is_verified, verdict.code) == (False, code)
    assert named in verdict.reason


def test_the_platform_fetches_no_address_that_the_task_does_not_list(source):
    fetched = []

    def recording(url):
        fetched.append(url)
        return b""

    task = prepared(NAME, **asked(source))
    result = tampered(worked(NAME, task), url="http://169.254.169.254/latest")
    assert judged(NAME, task, result, recording).code == "foreign_source"
    assert fetched == []


def test_a_source_that_changed_since_is_a_quote_that_is_not_found(source):
    task = prepared(NAME, **asked(source))
    changed = json.dumps({"text": "Nothing is as it was."}).encode()
    assert judged(NAME, task, worked(NAME, task), lambda url: changed).code == "quote_not_found"


def test_a_request_that_is_never_answered_stops_the_tool_at_its_deadline():
    seed = next(seed for seed in range(99) if latency_seconds(Latency.STUCK, seed, 2) > 1)
    with running_source(Latency.STUCK, seed) as source:
        task = prepared(NAME, **asked(source))
        started = time.monotonic()
        with pytest.raises(DeadlinePassedError):
            worked(NAME, task, deadline_seconds=0.3)
        assert time.monotonic() - started < 2.0


def test_nothing_to_read_is_said(source):
    missing = [f"{source}/documents/{name}" for name in ("gone", "lost")]
    with pytest.raises(SourceUnavailableError, match="404"):
        worked(NAME, prepared(NAME, **asked(source, urls=missing)))


def test_one_missing_document_does_not_stop_the_others(source, fetch):
    urls = [*document_urls(QUESTIONS[0], source), f"{source}/documents/gone"]
    task = prepared(NAME, **asked(source, urls=urls))
    result = worked(NAME, task)
    assert result["documents_read"] == 3
    assert judged(NAME, task, result, fetch).is_verified


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"urls": None}, "exactly one"),
        ({"folder": "notes"}, "exactly one"),
        ({"urls": ["ftp://127.0.0.1/notes"]}, "pattern"),
        ({"urls": ["http://user:secret@host/"]}, "pattern"),
        ({"urls": None, "folder": "../up"}, "pattern"),
        ({"urls": None, "folder": "/rooted"}, "pattern"),
        ({"question": "why?"}, "at least 10"),
    ],
    ids=["no source", "two sources", "ftp", "credentials", "up", "absolute", "no question"],
)
def test_a_payload_out_of_bounds_is_refused(source, changes, said):
    with pytest.raises(ValidationError, match=said):
        prepared(NAME, **asked(source, **changes))
