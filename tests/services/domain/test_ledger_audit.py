"""The offline audit over a small whole history: it passes untouched, and every alteration is named.

Two kinds of forger are tried: one who alters an exported file, here, and one who rewrites it from some entry
on so that every hash fits again, in test_ledger_causality.py and test_ledger_records.py.
"""

import random
import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.hash_chain import EMPTY_ROOT
from services.domain.ledger_audit import CLAIMED, TRUSTED, LedgerAudit, audit_ledger
from services.domain.ledger_schema import Entry, EntryType, entry_bytes
from tests.services.domain.ledger_history import (
    FIRST,
    HONEST,
    OTHER,
    PROMOTED,
    REGISTERED,
    SECOND_US,
    START_US,
    Step,
    assert_found,
    honest_steps,
    root_after,
    write,
)

SIZE = len(HONEST.leaves)
LAST = SIZE - 1


def test_the_honest_history_passes_and_folds_to_its_config():
    report = HONEST.audit()
    assert (report.ok, report.first_error_index, report.reason) == (True, None, "")
    assert (report.size, report.root_hex) == (SIZE, HONEST.root.hex())
    assert report.config == {**REGISTERED, OTHER: "6.0"}


def test_a_history_of_the_first_format_passes():
    report = FIRST.audit()
    assert (report.ok, report.reason, report.config) == (True, "", REGISTERED)


def test_every_prefix_passes_and_extends_every_older_checkpoint():
    for size in range(1, SIZE + 1):
        leaves = HONEST.leaves[:size]
        for older in {0, 1, size // 2, size - 1, size}:
            trusted = (older, root_after(leaves[:older]))
            assert HONEST.audit(leaves=leaves, claimed=(size, root_after(leaves)), trusted=[trusted]).ok, (
                trusted
            )


def test_the_config_of_any_size_can_be_rebuilt():
    size = HONEST.index("promoted") + 1
    leaves = HONEST.leaves[:size]
    assert HONEST.audit(leaves=leaves, claimed=(size, root_after(leaves))).config == PROMOTED


def test_the_empty_ledger_passes():
    report = audit_ledger([], {}, claimed=(0, EMPTY_ROOT))
    assert (report.ok, report.size, report.config) == (True, 0, {})


@pytest.mark.parametrize("checkpoint", [(-1, EMPTY_ROOT), (1, b"short")])
def test_a_checkpoint_that_cannot_be_one_is_the_callers_mistake(checkpoint):
    with pytest.raises(ValueError, match="a checkpoint has"):
        audit_ledger([], {}, claimed=checkpoint)


CLASSES = {
    "brace": rb"[{}\[\]]", "quote": rb'"', "colon": rb":", "comma": rb",", "key": rb'"(\w+)":',
    "digit": rb":(\d)", "time": rb'"at":"(\S+?)Z"', "type": rb'"type":"(\w+)"', "hash": rb'"([0-9a-f]{64})"',
    "text": rb':"([^"]+)"', "previous_root": rb'"previous_root":"(\w+)"',
    "payload": rb'"payload":(.+?),"prev',
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_a_flipped_byte_of_any_class_is_found_at_its_entry(kind):
    for index in range(SIZE):
        leaf = HONEST.leaves[index]
        source = random.Random(index)
        spans = [match.span(match.lastindex or 0) for match in re.finditer(CLASSES[kind], leaf)]
        assert spans
        for start, end in source.sample(spans, 1):
            place, bit = source.randrange(start, end), 1 << source.randrange(8)
            assert_flip_is_found(index, place, bit)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found_at_its_entry(data):
    index = data.draw(st.integers(0, LAST))
    place = data.draw(st.integers(0, len(HONEST.leaves[index]) - 1))
    assert_flip_is_found(index, place, 1 << data.draw(st.integers(0, 7)))


def assert_flip_is_found(index: int, place: int, bit: int) -> None:
    leaf = bytearray(HONEST.leaves[index])
    leaf[place] ^= bit
    leaves = [*HONEST.leaves[:index], bytes(leaf), *HONEST.leaves[index + 1 :]]
    report = HONEST.audit(leaves=leaves)
    assert report.first_error_index == index, report.reason


def test_a_deleted_entry_is_found_where_it_is_missing():
    for index in range(SIZE):
        leaves = HONEST.leaves[:index] + HONEST.leaves[index + 1 :]
        assert_found(HONEST.audit(leaves=leaves), index, "in the place of" if index < LAST else "ends here")


def test_swapped_entries_are_found_at_the_first():
    for index in range(LAST):
        leaves = list(HONEST.leaves)
        leaves[index : index + 2] = reversed(leaves[index : index + 2])
        assert_found(HONEST.audit(leaves=leaves), index, "in the place of")


def test_an_inserted_entry_is_found():
    for index in range(SIZE):
        root_hex = root_after(HONEST.leaves[:index]).hex()
        payload = {"corrects": 0, "reason": "smuggled in"}
        at_us = START_US + max(index - 1, 0) * SECOND_US
        forged = entry_bytes(Entry(index, at_us, EntryType.CORRECTION, "mallory", None, root_hex, payload))
        report = HONEST.audit(leaves=[*HONEST.leaves[:index], forged, *HONEST.leaves[index:]])
        if index == 0:
            assert_found(report, 0, "GENESIS")
        elif index == LAST:  # it took the last place that the claimed checkpoint covers
            assert_found(report, LAST, "root of the claimed checkpoint")
        else:
            assert_found(report, index + 1, "in the place of")
        copied = HONEST.audit(leaves=[*HONEST.leaves[:index], HONEST.leaves[index], *HONEST.leaves[index:]])
        assert_found(copied, index + 1, "in the place of|covers only")


def test_an_entry_appended_after_the_claimed_size_is_found():
    leaves = write([*honest_steps(), honest_steps()[2]]).leaves
    assert_found(HONEST.audit(leaves=leaves), SIZE, f"covers only {SIZE}")


def test_a_cut_tail_is_found_with_an_older_checkpoint():
    for size in range(SIZE):
        leaves = HONEST.leaves[:size]
        claimed = (size, root_after(leaves))
        report = HONEST.audit(leaves=leaves, claimed=claimed, trusted=[(SIZE, HONEST.root)])
        assert_found(report, size, f"ends here, but the trusted checkpoint covers {SIZE}")
        assert_found(
            HONEST.audit(leaves=leaves), size, f"ends here, but the claimed checkpoint covers {SIZE}"
        )


def test_a_rewritten_past_is_found_with_an_older_checkpoint():
    fork = write(
        [step._replace(at_us=START_US - 5) if step.name == "genesis" else step for step in honest_steps()]
    )
    assert fork.audit().ok
    for size in range(1, SIZE):
        report = fork.audit(trusted=[(size, root_after(HONEST.leaves[:size]))])
        assert_found(report, size - 1, f"first {size} entries do not have the root of the trusted checkpoint")


def test_a_false_claim_about_the_root_is_found():
    assert_found(HONEST.audit(claimed=(SIZE, EMPTY_ROOT)), LAST, "root of the claimed checkpoint")
    assert_found(HONEST.audit(trusted=[(0, HONEST.root)]), 0, "root of the trusted checkpoint")


def test_a_rewritten_previous_root_alone_is_told_from_rewritten_content():
    leaves = list(HONEST.leaves)
    root_hex = root_after(leaves[:7]).hex().encode()
    leaves[7] = leaves[7].replace(root_hex, b"0" * 64)
    assert_found(HONEST.audit(leaves=leaves), 7, "previous_root is not the root of the entries before")
    leaves = [*HONEST.leaves[:7], HONEST.leaves[7].replace(b'"cyd"', b'"fay"'), *HONEST.leaves[8:]]
    assert_found(HONEST.audit(leaves=leaves), 7, "not those that entry 8 was chained to")


def many_steps(count: int) -> Iterable[Step]:
    """Genesis, then proposals of 200 ballots each with an anomaly after every ballot."""
    genesis, _, anomaly, _, proposal, vote, *_ = honest_steps()
    yield genesis
    voters = [f"agent-{number}" for number in range(200)]
    for number in range(1, count):
        proposal_id, place = divmod(number - 1, 401)
        if place == 0:
            payload = {**proposal.payload, "proposal_id": proposal_id, "electorate": voters}
            yield proposal._replace(payload={**payload, "closes_at_us": START_US + count * SECOND_US})
        elif place % 2:
            voter = voters[place // 2]
            yield vote._replace(payload={**vote.payload, "proposal_id": proposal_id, "voter": voter})
        else:
            yield anomaly._replace(payload={**anomaly.payload, "episode_id": number})


def test_a_history_of_many_proposals_passes():
    ledger = write(list(many_steps(10_000)))
    report = ledger.audit(claimed=(10_000, ledger.root))
    assert (report.ok, report.reason, report.size) == (True, "", 10_000)


def test_parts_of_any_size_find_what_the_whole_finds():
    """Also where the blame for an entry rests with its follower, which may come in another part."""
    draw = random.Random(6)
    root = HONEST.root
    for index in (None, 0, 1, *range(2, SIZE, 5), LAST):
        leaves = list(HONEST.leaves)
        if index is not None:
            at = draw.randrange(len(leaves[index]))
            leaves[index] = leaves[index][:at] + bytes([leaves[index][at] ^ 1]) + leaves[index][at + 1 :]
        size = draw.choice((SIZE, SIZE - 1, SIZE + 1))
        trusted = [(draw.randrange(SIZE), root)] if draw.random() < 0.2 else []
        whole = HONEST.audit(leaves=leaves, claimed=(size, root), trusted=trusted)
        known = [*[(TRUSTED, *one) for one in trusted], (CLAIMED, size, root)]
        for most in (1, 2, 7):
            audit = LedgerAudit(HONEST.blobs, lambda _: -1, known=known)
            while audit.taken < SIZE and audit.feed(leaves[audit.taken :][: draw.randint(1, most)]):
                pass
            assert audit.report((size, root)) == whole, (index, most)
            assert audit.report((size, root)) == whole


def test_an_audit_goes_on_after_its_report():
    audit = LedgerAudit(HONEST.blobs, lambda _: -1)
    for size in (1, 5, SIZE):
        assert audit.feed(HONEST.leaves[audit.taken : size])
        report = audit.report((size, root_after(HONEST.leaves[:size])))
        assert (report.ok, report.size, audit.taken) == (True, size, size)
    assert_found(audit.report((5, root_after(HONEST.leaves[:5]))), 5, "covers only 5 entries")
