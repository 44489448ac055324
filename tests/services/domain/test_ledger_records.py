"""Evidence: a verdict's arms, counts, wealth and outcome must recompute from the records it reveals."""

from dataclasses import replace
from typing import Any

import pytest

from services.domain import ledger_records
from services.domain.assignment import arm_of
from services.domain.ledger_records import (
    CLOCK_SKEW_US,
    EvidenceRefusedError,
    LegEvidence,
    check_verdict,
    evidence_text,
    read_records,
    records_bytes,
)
from services.domain.sequential import BetPlan, Record, Verdict, start
from services.domain.states import Leg
from tests.services.domain.ledger_evidence import HELD, LOST, QUIET, WON, Bet, sha
from tests.services.domain.ledger_history import (
    HONEST,
    TEXTS,
    Ledger,
    assert_found,
    rewritten,
    verdict_of,
)

VERDICTS = {"verdict": WON, "held": HELD, "placebo_verdict_10": QUIET}

WEEK_US = 7 * 86_400_000_000


def with_blob(blob: bytes, name: str = "verdict", **edit: Any) -> Ledger:
    ledger = rewritten(name, {"records_sha256": sha(blob), **edit})
    ledger.blobs[sha(blob)] = blob
    return ledger


def with_records(records: list[Record], **edit: Any) -> Ledger:
    """The honest log with other records under the verdict, whose figures stay unless edited."""
    return with_blob(records_bytes(1, records), **edit)


def told(bet: Bet, **edit: Any) -> Ledger:
    """The honest log with another bet's verdict in the trial's place, its figures its own."""
    return with_blob(bet.blob, **{**verdict_of(bet), **edit})


def test_an_honest_loss_passes_and_cannot_be_promoted():
    assert LOST.result.decision.verdict is Verdict.LOSS
    assert_found(told(LOST).audit(), HONEST.index("promoted"), "experiment 1 has loss, not a win")
    forged = told(LOST, verdict="win")
    assert_found(forged.audit(), HONEST.index("verdict"), "says win, the records give loss")


@pytest.mark.parametrize("name", VERDICTS)
@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"verdict": "loss"}, "says loss, the records give"),
        ({"e": "21.5"}, "verdict's e is 21.5"),
        ({"e_max": "1e9"}, "verdict's e_max is 1e9"),
        ({"tasks": 99}, "verdict's tasks is 99"),
        ({"control_tasks": 1}, "verdict's control_tasks is 1"),
        ({"control_successes": "1.0"}, "verdict's control_successes is 1.0"),
        ({"treatment_tasks": 1}, "verdict's treatment_tasks is 1"),
        ({"treatment_successes": "1.0"}, "verdict's treatment_successes is 1.0"),
        ({"estimate": "0.5"}, "verdict's estimate is 0.5"),
        ({"lower": "-0.9"}, "verdict's lower is -0.9"),
        ({"upper": "inf"}, "verdict's upper is inf"),
        ({"salt": "5b" * 16}, "does not open the commitment"),
        ({"salt": "5b"}, "the salt is not one"),
        ({"records_sha256": "3" * 64}, "records blob .* is missing"),
        ({"records_sha256": sha(TEXTS[0])}, "records blob is not canonical JSON"),
        ({"records_sha256": sha(LOST.blob)}, "of the leg|of experiment 1, not 10|reason is|the records give"),
    ],
)
def test_a_verdict_of_any_leg_must_recompute(name, edit, reason):
    assert_found(rewritten(name, edit).audit(), HONEST.index(name), reason)


@pytest.mark.parametrize("name", ["e", "estimate", "lower", "upper"])
def test_a_figure_may_differ_in_its_last_digits_only(name):
    exact = float(verdict_of(WON)[name])
    assert rewritten("verdict", {name: repr(exact * (1 + 1e-11))}).audit().ok
    assert not rewritten("verdict", {name: repr(exact + 1e-5)}).audit().ok


def test_a_wrong_arm_is_named_by_its_record():
    records = list(WON.records)
    arm = records[5].arm
    records[5] = replace(records[5], arm=1 - arm)
    reason = rf"record 5 .*'1trial:5'.* is in arm {1 - arm}, the salt assigns arm {arm}"
    assert_found(with_records(records).audit(), HONEST.index("verdict"), reason)


def test_a_share_that_was_not_planned_is_named_by_its_record():
    records = list(WON.records)
    records[7] = replace(records[7], share=0.9)
    assert_found(with_records(records).audit(), HONEST.index("verdict"), "record 7 has share 0.9")


def test_a_changed_outcome_changes_what_is_recomputed():
    records = list(WON.records)
    records[3] = replace(records[3], outcome=1.0 - records[3].outcome)
    assert_found(with_records(records).audit(), HONEST.index("verdict"), "the records give")


@pytest.mark.parametrize("change", [{"guardrails": ()}, {"guardrails": (1.0, 2.0)}, {"outcome": 2.0}])
def test_a_measure_that_the_plan_does_not_have_is_found(change):
    records = [replace(WON.records[0], **change), *WON.records[1:]]
    assert_found(with_records(records).audit(), HONEST.index("verdict"), "do not replay")


def test_left_out_and_repeated_records_are_found():
    verdict = HONEST.index("verdict")
    assert_found(with_records(WON.records[1:]).audit(), verdict, "do not replay: ordinal")
    renumbered = [
        replace(record, ordinal=place) for place, record in enumerate([WON.records[0], *WON.records])
    ]
    assert_found(with_records(renumbered).audit(), verdict, "do not replay: unit")


def test_records_of_another_experiment_do_not_count():
    ledger = with_blob(records_bytes(2, WON.records))
    assert_found(ledger.audit(), HONEST.index("verdict"), "of experiment 2, not 1")


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"[]", "is not {experiment_id, leg, records}"),
        (b'{"experiment_id":1,"leg":"trial","more":1,"records":[]}', "is not {experiment_id, leg, records}"),
        (b'{"experiment_id":"1","records":[]}', "no integer experiment_id"),
        (b'{"experiment_id":1,"records":{}}', "no integer experiment_id"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"0.5","1.0"]]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[7]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[[0,"u",true,"0.5","1.0",""]]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"0.5","1.0","",0,1,[]]]}', "record 0 is not"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"half","1.0",""]]}', "not a decimal"),
        (b'{"experiment_id":1,"records":[[0,"u",1,"0.5","1.0","",0,true,[null]]]}', "not a decimal"),
        (b'{"experiment_id":1,"records":[[0,"",1,"0.2","1.0",""]]}', "record 0 cannot be assigned"),
        (
            b'{"experiment_id":1,"records":[[0,"task:0",1,"nan","1.0",""]]}',
            "record 0 has share nan in the ramp",
        ),
    ],
)
def test_a_blob_of_another_form_is_refused(blob, reason):
    assert_found(with_blob(blob).audit(), HONEST.index("verdict"), reason)


def test_an_experiment_stopped_undecided_may_be_called_inconclusive_but_not_a_win():
    stopped = WON.with_records(WON.records[:15])
    edit = {**stopped.figures(), "reason": "deadline reached"}
    ledger = with_blob(stopped.blob, **edit, verdict="inconclusive")
    assert_found(ledger.audit(), HONEST.index("verdict"), "ends an open bet before its deadline")
    told = {**edit, "verdict": "inconclusive"}
    timed = LegEvidence(1, Leg.TRIAL, WON.plan, WON.state, WON.commitment, 0.05, deadline_us=WEEK_US)
    check_verdict(replace(timed, elapsed_us=WEEK_US), told, stopped.blob)
    with pytest.raises(EvidenceRefusedError, match="before its deadline"):
        check_verdict(replace(timed, elapsed_us=WEEK_US - 2 * CLOCK_SKEW_US), told, stopped.blob)
    other = with_blob(stopped.blob, **{**edit, "reason": "enough"}, verdict="inconclusive").audit()
    assert_found(other, HONEST.index("verdict"), "only 'deadline reached' could have ended it")
    for verdict in ("win", "loss"):
        report = with_blob(stopped.blob, **edit, verdict=verdict).audit()
        assert_found(report, HONEST.index("verdict"), f"says {verdict}, the records give no verdict")


def test_erased_text_is_allowed_on_request_and_erased_records_never():
    kept = {name: blob for name, blob in HONEST.blobs.items() if blob not in TEXTS}
    erased = HONEST._replace(blobs=kept)
    assert erased.audit(allow_erased=True).ok
    assert_found(erased.audit(), HONEST.index("proposal"), "blob of root_cause_sha256 .* is missing")
    report = HONEST._replace(blobs={}).audit(allow_erased=True)
    assert_found(report, HONEST.index("verdict"), "records blob .* is missing")


@pytest.mark.parametrize("is_records", [True, False])
def test_a_blob_that_is_not_what_its_name_says_is_found(is_records):
    name = sha(WON.blob) if is_records else sha(TEXTS[0])
    ledger = HONEST._replace(blobs={**HONEST.blobs, name: b"something else"})
    found_at = HONEST.index("verdict" if is_records else "proposal")
    assert_found(ledger.audit(allow_erased=True), found_at, "does not hash to")


def test_records_read_back_as_they_were():
    assert read_records(WON.blob) == (1, WON.records)
    odd = [Record(0, "task:ü", 1, 0.1 + 0.2, 1 / 3, "", 5, False, (0.1, 1e300))]
    assert read_records(records_bytes(2, odd, Leg.PROBATION)) == (2, odd)


def test_records_of_six_columns_read_as_what_was_not_kept_then():
    blob = b'{"experiment_id":4,"records":[[0,"u",1,"0.5","1.0","kind"]]}'
    assert read_records(blob) == (4, [Record(0, "u", 1, 0.5, 1.0, "kind", 0, True, ())])


def test_evidence_beyond_doubles_is_written_as_infinity():
    assert (evidence_text(0.0), evidence_text(1e4), evidence_text(-1e4)) == ("1.0", "inf", "0.0")


def ramp_records(treated_outcome):
    """Ten records of a ramp of one half, both arms in turn, then one at the full share."""
    return [
        Record(n, f"u{n}", n % 2, 0.5 if n < 10 else 0.6, treated_outcome if n % 2 else 1.0)
        for n in range(11)
    ]


def test_a_ramp_goes_on_only_from_a_count_without_a_hint_of_harm():
    plan = BetPlan(effect=0.2, cap_tasks=400, ramp_share=0.5, ramp_tasks=8, treatment_share=0.6)
    ledger_records._check_ramp(plan, start(plan), ramp_records(1.0))
    with pytest.raises(EvidenceRefusedError, match="record 10 ends a ramp that showed a hint of harm"):
        ledger_records._check_ramp(plan, start(plan), ramp_records(0.0))


def test_a_verdict_over_a_ramp_that_ended_in_harm_does_not_stand():
    ramp = {"ramp_tasks": 20, "ramp_share": 0.5, "treatment_share": 0.6}
    plan = replace(WON.plan, **ramp, guardrails=(), harm_evidence=1e99, futility_alpha=None)
    records = [
        Record(n, unit, arm, share, 1.0 - arm)
        for n, unit, share in [(n, f"u{n}", 0.5 if n < 30 else 0.6) for n in range(60)]
        for arm in [arm_of(WON.salt, unit, share)]
    ]
    bet = replace(WON, plan=plan, state=start(plan), records=records)
    told = {**bet.figures(), "verdict": "inconclusive", "reason": "deadline reached"}
    evidence = LegEvidence(1, Leg.TRIAL, plan, start(plan), bet.commitment, 0.05)
    with pytest.raises(EvidenceRefusedError, match="ends a ramp that showed a hint of harm"):
        check_verdict(evidence, told, bet.blob)
