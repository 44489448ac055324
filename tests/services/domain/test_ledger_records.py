"""Evidence: a verdict's arms, counts, wealth and outcome must recompute from the records it reveals."""

from typing import Any

import pytest

from services.domain.ledger_records import evidence_text, outcome_fields, read_records, records_bytes
from services.domain.sequential import Record, Verdict, replay
from tests.services.domain.ledger_history import (
    HONEST,
    LOSS_RECORDS,
    PLAN,
    TEXTS,
    WIN_RECORDS,
    Ledger,
    assert_found,
    rewritten,
    sha,
    verdict_payload,
)


def with_records(records: list[Record], **edit: Any) -> Ledger:
    """The honest log with other records under the verdict, whose figures stay unless edited."""
    blob = records_bytes(1, records)
    ledger = rewritten("verdict", {"records_sha256": sha(blob), **edit})
    ledger.blobs[sha(blob)] = blob
    return ledger


def test_an_honest_loss_passes_and_cannot_be_promoted():
    assert replay(PLAN, LOSS_RECORDS).decision.verdict is Verdict.LOSS
    ledger = rewritten("verdict", lambda _: verdict_payload(LOSS_RECORDS))
    assert_found(ledger.audit(), HONEST.index("promoted"), "experiment 1 has loss, not a win")
    forged = rewritten("verdict", lambda _: {**verdict_payload(LOSS_RECORDS), "verdict": "win"})
    assert_found(forged.audit(), HONEST.index("verdict"), "says win, the records give loss")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"verdict": "loss"}, "says loss, the records give win"),
        ({"verdict": "inconclusive"}, "says inconclusive, the records give win"),
        ({"e": "21.0"}, "verdict's e is 21.0"),
        ({"e_max": "1e9"}, "verdict's e_max is 1e9"),
        ({"tasks": 99}, "verdict's tasks is 99"),
        ({"control_tasks": 1}, "verdict's control_tasks is 1"),
        ({"treatment_successes": "1.0"}, "verdict's treatment_successes is 1.0"),
        ({"salt": "5b" * 16}, "does not open the commitment"),
        ({"salt": "5b"}, "the salt is not one"),
        ({"records_sha256": "3" * 64}, "records blob .* is missing"),
        ({"records_sha256": sha(TEXTS[0])}, "records blob is not canonical JSON"),
    ],
)
def test_a_verdict_must_recompute(edit, reason):
    assert_found(rewritten("verdict", edit).audit(), HONEST.index("verdict"), reason)


def test_e_may_differ_in_its_last_digits_only():
    exact = float(verdict_payload(WIN_RECORDS)["e"])
    assert rewritten("verdict", {"e": repr(exact * (1 + 1e-11))}).audit().ok
    assert not rewritten("verdict", {"e": repr(exact * (1 + 1e-7))}).audit().ok


def test_a_wrong_arm_is_named_by_its_record():
    records = list(WIN_RECORDS)
    records[5] = Record(5, records[5].unit, 1 - records[5].arm, 0.5, records[5].outcome, records[5].stratum)
    reason = rf"record 5 .*'task:5'.* is in arm {records[5].arm}, the salt assigns arm {1 - records[5].arm}"
    assert_found(with_records(records).audit(), HONEST.index("verdict"), reason)


def test_a_changed_outcome_changes_what_is_recomputed():
    records = list(WIN_RECORDS)
    records[3] = Record(3, records[3].unit, records[3].arm, 0.5, 1.0 - records[3].outcome, records[3].stratum)
    assert_found(with_records(records).audit(), HONEST.index("verdict"), "the records give")


def test_left_out_and_repeated_records_are_found():
    verdict = HONEST.index("verdict")
    assert_found(with_records(WIN_RECORDS[1:]).audit(), verdict, "do not replay: ordinal")
    renumbered = [
        Record(place, record.unit, record.arm, record.share, record.outcome, record.stratum)
        for place, record in enumerate([WIN_RECORDS[0], *WIN_RECORDS])
    ]
    assert_found(with_records(renumbered).audit(), verdict, "do not replay: unit")


def test_records_of_another_experiment_do_not_count():
    blob = records_bytes(2, WIN_RECORDS)
    ledger = rewritten("verdict", {"records_sha256": sha(blob)})
    ledger.blobs[sha(blob)] = blob
    assert_found(ledger.audit(), HONEST.index("verdict"), "of experiment 2, not 1")


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"[]", "is not {experiment_id, records}"),
        (b'{"experiment_id":"1","records":[]}', "no integer experiment_id"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"0.5","1.0"]]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[[0,"u",true,"0.5","1.0",""]]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"half","1.0",""]]}', "not a decimal"),
        (b'{"experiment_id":1,"records":[[0,"",1,"0.5","1.0",""]]}', "record 0 cannot be assigned"),
        (b'{"experiment_id":1,"records":[[0,"task:0",1,"nan","1.0",""]]}', "record 0 cannot be assigned"),
    ],
)
def test_a_blob_of_another_form_is_refused(blob, reason):
    ledger = rewritten("verdict", {"records_sha256": sha(blob)})
    ledger.blobs[sha(blob)] = blob
    assert_found(ledger.audit(), HONEST.index("verdict"), reason)


def test_an_experiment_stopped_undecided_may_be_called_inconclusive_but_not_a_win():
    records = WIN_RECORDS[:15]
    figures = outcome_fields(replay(PLAN, records))
    promoted = HONEST.index("promoted")
    stopped = with_records(records, **figures, verdict="inconclusive", reason="time limit")
    assert_found(stopped.audit(), promoted, "experiment 1 has inconclusive, not a win")
    for verdict in ("win", "loss"):
        report = with_records(records, **figures, verdict=verdict).audit()
        assert_found(report, HONEST.index("verdict"), f"says {verdict}, the records give no verdict")


def test_erased_text_is_allowed_on_request_and_erased_records_never():
    kept = sha(records_bytes(1, WIN_RECORDS))
    erased = HONEST._replace(blobs={kept: HONEST.blobs[kept]})
    assert erased.audit(allow_erased=True).ok
    assert_found(erased.audit(), HONEST.index("proposal"), "blob of root_cause_sha256 .* is missing")
    report = HONEST._replace(blobs={}).audit(allow_erased=True)
    assert_found(report, HONEST.index("verdict"), "records blob .* is missing")


@pytest.mark.parametrize("is_records", [True, False])
def test_a_blob_that_is_not_what_its_name_says_is_found(is_records):
    name = sha(records_bytes(1, WIN_RECORDS)) if is_records else sha(TEXTS[0])
    ledger = HONEST._replace(blobs={**HONEST.blobs, name: b"something else"})
    found_at = HONEST.index("verdict" if is_records else "proposal")
    assert_found(ledger.audit(allow_erased=True), found_at, "does not hash to")


def test_records_read_back_as_they_were():
    assert read_records(records_bytes(1, WIN_RECORDS)) == (1, WIN_RECORDS)
    odd = [Record(0, "task:ü", 1, 0.1 + 0.2, 1 / 3, "")]
    assert read_records(records_bytes(2, odd)) == (2, odd)


def test_evidence_beyond_doubles_is_written_as_infinity():
    assert (evidence_text(0.0), evidence_text(1e4), evidence_text(-1e4)) == ("1.0", "inf", "0.0")
