"""Text, sentences and terms come out of documents as a reader would see them."""

import json

import pytest

from app.tasks.research_synthesis.documents import document_text, listed_urls, sentences, terms
from app.tasks.research_synthesis.retrieval import passages_for


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Plain words.", "Plain words."),
        (b'{"name": "a", "text": "From JSON."}', "From JSON."),
        (b'{"name": "no text"}', '{"name": "no text"}'),
        (b"{ not json", "{ not json"),
        ("Zwölf Boxkämpfer".encode(), "Zwölf Boxkämpfer"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_text_is_taken_out_of_what_came(raw, text):
    assert document_text(raw) == text


def test_html_shows_what_a_reader_sees():
    page = (
        b"<!DOCTYPE html><html><head><title>T</title></head>"
        b"<body><script>x=1</script><p>Fish &amp; <b>chips</b>.</p>"
    )
    assert document_text(page).strip() == "Fish & chips."


def test_deeply_nested_json_is_only_text():
    raw = b'{"text": ' + b"[" * 100_000
    assert document_text(raw) == raw.decode()


def test_sentences_are_verbatim_and_of_a_quotable_length():
    text = (
        "Too short. This sentence is long enough to be quoted. "
        + "word " * 200
        + ". And this\none spans two lines!"
    )
    found = sentences(text)
    assert found == ["This sentence is long enough to be quoted.", "And this\none spans two lines!"]
    assert all(sentence in text for sentence in found)


def test_terms_leave_out_small_words_and_endings():
    assert terms("How do the agents verify payments?") == terms("agent verifies payment")


def test_an_index_lists_absolute_addresses():
    raw = json.dumps(["/a", {"name": "b", "url": "http://127.0.0.1:1/b"}]).encode()
    assert listed_urls(raw, "http://127.0.0.1:9/index.json") == (
        "http://127.0.0.1:9/a",
        "http://127.0.0.1:1/b",
    )


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"[1]", b"not json", b'["ftp://127.0.0.1/notes"]'])
def test_what_is_no_index_is_refused(raw):
    with pytest.raises(ValueError, match="source index"):
        listed_urls(raw, "http://127.0.0.1:9/index.json")


def test_passages_cover_the_question_before_they_repeat_themselves():
    texts = {
        "u1": "Escrow keeps the money safe in a market. Escrow keeps the money safe in any market at all.",
        "u2": "Auditors recompute each ledger entry from its evidence.",
    }
    chosen = passages_for("How do escrow money and the ledger evidence of auditors relate?", texts, 2)
    assert {passage.url for passage in chosen} == {"u1", "u2"}


def test_no_text_gives_no_passages():
    assert passages_for("What is there to find?", {"u": ""}, 3) == []
