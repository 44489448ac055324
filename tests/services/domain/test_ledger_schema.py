"""The shape of ledger entries: what is missing, of another kind or spelled otherwise is named."""

import pytest

from services.domain.ledger_audit import audit_ledger
from services.domain.ledger_schema import (
    PAYLOADS,
    Entry,
    EntryRefusedError,
    EntryType,
    entry_bytes,
    read_entry,
    read_envelope,
)
from tests.services.domain.ledger_history import HONEST, START_US, assert_found, honest_steps, root_after


def test_every_type_is_in_the_table():
    assert set(PAYLOADS) == set(EntryType)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"type":"ANOMALY"', b'"type":"ANOMALOUS"', "type 'ANOMALOUS' is unknown"),
        (b'"lap":1', b'"lap":"1"', "lap of the entry is not an integer or null"),
        (b'"lap":1', b'"lap":1,"mood":1', "unknown fields: mood"),
        (b'"lap":1,', b"", "lacks lap"),
        (b'"actor":"system:learn"', b'"actor":""', "actor of the entry is not a non-empty string"),
        (b'"numerator":65', b'"numerator":"65"', "numerator of the ANOMALY payload is not an integer"),
        (b'"numerator":65', b'"numerator":true', "numerator of the ANOMALY payload is not an integer"),
        (b'"numerator":65,', b"", "ANOMALY payload lacks numerator"),
        (b'"numerator":65', b'"numerator":6.5', "fractions travel as strings"),
        (b'"numerator":65', b'"numerator":65 ', "not the canonical spelling"),
        (b'"at":"2026', b'"at":"+026', "at of the entry is not UTC time"),
        (b'"at":"2026-11-', b'"at":"2026-13-', "time .* does not exist"),
        (b'"at":"2026', b'"at":"2025', "before that of the entry before"),
    ],
)
def test_an_entry_out_of_shape_is_named_by_its_field(old, new, reason):
    leaf = HONEST.leaves[2]
    assert leaf.count(old) == 1
    leaves = [*HONEST.leaves[:2], leaf.replace(old, new)]
    assert_found(HONEST.audit(leaves=leaves, claimed=(3, root_after(leaves))), 2, reason)


def test_an_entry_that_is_no_object_is_refused():
    assert_found(audit_ledger([b"[]"], {}, claimed=(1, root_after([b"[]"]))), 0, "not a JSON object")


@pytest.mark.parametrize("kind", EntryType)
def test_no_payload_passes_without_any_one_of_its_fields(kind):
    payload = next(step.payload for step in honest_steps() if step.type is kind) if kind in USED else {}
    for name in PAYLOADS[kind]:
        broken = {key: value for key, value in payload.items() if key != name}
        with pytest.raises(EntryRefusedError, match="lacks"):
            entry_bytes(Entry(0, START_US, kind, "platform", None, "0" * 64, broken))


USED = {step.type for step in honest_steps()}


@pytest.mark.parametrize("index", range(len(HONEST.leaves)))
def test_an_entry_reads_back_to_the_same_bytes(index):
    entry = read_entry(read_envelope(HONEST.leaves[index]))
    assert (entry.index, entry.at_us) == (index, START_US + index * 1_000_000)
    assert entry_bytes(entry) == HONEST.leaves[index]


def test_further_payload_fields_are_let_through_and_an_override_is_whole_or_none():
    more = {"episode_id": 1, "numerator": 1, "denominator": 2, "note": "more"}
    assert b'"note"' in entry_bytes(Entry(0, START_US, EntryType.RECOVERED, "p", None, "0" * 64, more))
    half = {"act": "set", "reason": "r", "parameter": "p"}
    with pytest.raises(EntryRefusedError, match="lacks from"):
        entry_bytes(Entry(0, START_US, EntryType.OVERRIDE, "p", None, "0" * 64, half))
