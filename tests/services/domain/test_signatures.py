"""Signatures of failures: what changes from one to the next is stripped, what says the same goes together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.signatures import (
    SIGNATURES_PER_CAUSE,
    TEXTS_PER_AGENT,
    WORD_LENGTH,
    WORDS_KEPT,
    Cause,
    Failure,
    clustered,
    likeness,
    plain_words,
    said_in,
)

CAUSE = Cause("work", "verification_failed")


def failure(text, task_id=1, agent=1, cause=CAUSE):
    return Failure(cause, agent, task_id, text, task_id)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("error 0.31 above 0.1", "error 0.29 above 0.1"),
        ("task 41 of run deadbeef01 failed", "task 7 of run cafe0123ab failed"),
        ('cannot read "a.txt" now', "cannot read 'b c.txt' now"),
        ("The Disk Is Full!", "the disk is full"),
        ("ｔｈｅ disk is full", "the disk is full"),
        ("the\x00disk\u200b is\tfull", "the disk is full"),
        ("<b>disk</b> full", "b disk /b full"),
    ],
)
def test_what_changes_from_one_to_the_next_is_stripped(first, second):
    assert plain_words(first) == plain_words(second) != ""


@given(st.text(max_size=4_000))
def test_words_are_bounded_and_nothing_but_words(text):
    words = plain_words(text)
    assert len(words) <= WORDS_KEPT * (WORD_LENGTH + 1)
    assert all(character.isprintable() for character in words)
    assert not any(character in "<>&\"'`" for character in words)
    assert plain_words(text + "x" * 10**6) is not None


@given(st.text(max_size=200), st.integers(0, 300))
def test_what_was_said_is_read_from_a_beginning_cut_anywhere(text, cut):
    raw = '{"reason":"' + text.replace("\\", "\\\\").replace('"', '\\"') + '","measures":{}}'
    found = said_in(raw[: 11 + cut])
    assert found is not None
    assert found == text or len(found) <= cut


def test_near_duplicates_go_together_and_others_do_not():
    found = clustered(
        [
            failure("the sum of the weights is not one", 1),
            failure("the sum of all the weights is not one", 2, agent=2),
            failure("no source answered", 3),
            failure("the sum of the weights is not one", 4),
        ],
        {},
    )
    by_words = {one.words: (one.count, dict(one.agents), one.task_ids) for one in found}
    assert by_words == {
        "the sum of the weights is not one": (3, {1: 2, 2: 1}, [1, 4, 2]),
        "no source answered": (1, {1: 1}, [3]),
    }


def test_the_order_of_failures_does_not_matter():
    texts = ["a b c d", "a b c e", "a b f e", "x y"] * 3
    one = clustered([failure(text, number) for number, text in enumerate(texts)], {})
    other = clustered([failure(text, number) for number, text in reversed(list(enumerate(texts)))], {})
    assert [(c.words, c.count) for c in one] == [(c.words, c.count) for c in other]


def test_type_and_reason_keep_signatures_apart():
    other = Cause("work", "agent_error")
    found = clustered([failure("it broke"), failure("it broke", cause=other)], {})
    assert [one.cause for one in found] == [other, CAUSE]


def test_known_words_stay_what_they_are():
    [found] = clustered([failure("the disk is very full")] * 9, {CAUSE: ["the disk is full"]})
    assert (found.words, found.count) == ("the disk is full", 9)


def test_no_words_are_a_signature_of_their_own():
    found = clustered([failure(""), failure("12 34"), failure("words here")], {})
    assert [(one.words, one.count) for one in found] == [("", 2), ("words here", 1)]


def letters(number):
    return "".join("abcdefghij"[int(digit)] for digit in f"{number:04d}")


def test_what_one_agent_and_one_cause_may_found_is_bounded():
    flood = [failure(letters(n), n) for n in range(100)]
    found = clustered(flood, {})
    assert len(found) == TEXTS_PER_AGENT + 1
    assert sum(one.count for one in found) == 100
    many = [failure(letters(n), n, agent=n) for n in range(100)]
    assert len(clustered(many, {})) == SIGNATURES_PER_CAUSE + 1


def test_likeness_is_jaccard_s():
    assert likeness(frozenset("abc"), frozenset("abd")) == 0.5
    assert likeness(frozenset(), frozenset()) == 1.0
    assert likeness(frozenset(), frozenset("a")) == 0.0
