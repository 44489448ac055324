"""Placebos, the freeze and the holdout in the ledger: every hash fits, and still the instrument is a lie."""

from typing import Any

import pytest

from services.domain.ledger_schema import EntryType
from services.domain.placebo import excess_evidence
from tests.services.domain.ledger_evidence import ALARMS, PLACEBO_PLAN, QUIET, placebo, salt_of
from tests.services.domain.ledger_history import (
    HONEST,
    Step,
    assert_found,
    honest_steps,
    placebo_steps,
    rewritten,
    second_lap,
    sha,
    until,
    write,
)


def planned(**fields: Any) -> dict[str, Any]:
    return {"plan": {**PLACEBO_PLAN.to_payload(), **fields}}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (planned(alpha="0.0001"), "plan's alpha is 0.0001, the config says 0.05"),
        (planned(cap_tasks=61), "plan's cap_tasks is 61, the config says 60"),
        (planned(minimum_tasks=60), "plan's minimum_tasks is 60, the config says 20"),
        (planned(minimum_per_arm=30), "plan's minimum_per_arm is 30, the config says 5"),
        (planned(minimum_cycle_us=10**12), "plan's minimum_cycle_us is 1000000000000, the config says 0"),
        (planned(treatment_share="0.01"), "plan's treatment_share is 0.01, the config says 0.5"),
        (planned(harm_evidence="1e9"), "plan's harm_evidence is over 20"),
        (planned(srm_alpha="0.0001"), "plan's srm_alpha is under 0.01"),
        ({"plan": {}}, "plan cannot be bet on"),
    ],
)
def test_a_placebo_is_as_easily_won_as_a_change(edit, reason):
    assert_found(rewritten("placebo_10", edit).audit(), HONEST.index("placebo_10"), reason)


def test_a_placebo_has_no_verdict_of_a_change_and_a_change_none_of_a_placebo():
    report = rewritten("placebo_verdict_10", {"experiment_id": 1}).audit()
    assert_found(report, HONEST.index("placebo_verdict_10"), "experiment 1 is no placebo")
    report = rewritten("verdict_2", {"experiment_id": 10}).audit()
    assert_found(report, HONEST.index("verdict_2"), "experiment 10 is unknown")


# --- the freeze -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"e": "1e9"}, "e is 1e9, the counts give 195.9"),
        ({"wins": 4, "e": repr(excess_evidence(4, 4, 0.05))}, "4 placebos cannot have won, at most 3"),
        ({"placebos": 3, "e": "50.0"}, "e is 50.0, the counts give 357"),
        ({"placebos": 2}, "2 placebos cannot have ended"),
        ({"placebos": 5}, "5 placebos cannot have ended, at most 4"),
        ({"wins": 2, "e": repr(excess_evidence(2, 4, 0.05))}, "a freeze needs E of at least 100"),
    ],
)
def test_a_freeze_needs_the_placebos_that_it_names(edit, reason):
    assert_found(rewritten("frozen", edit).audit(), HONEST.index("frozen"), reason)


def test_a_freeze_counts_the_placebos_since_the_last_one_was_lifted():
    steps = until("renewed")
    again = honest_steps()[HONEST.index("frozen")]
    assert_found(write([*steps, again]).audit(), len(steps), "3 placebos cannot have won, at most 0")


def test_an_open_placebo_may_not_be_called_invalid():
    stopped = QUIET.with_records(QUIET.records[:30])
    told = {"verdict": "invalid", "reason": "stopped", **stopped.figures()}
    ledger = rewritten("placebo_verdict_10", told)
    ledger.blobs[sha(stopped.blob)] = stopped.blob
    where = HONEST.index("placebo_verdict_10")
    assert_found(ledger.audit(), where, "says invalid, the records give no verdict")


@pytest.mark.parametrize("actor", ["system:learn", "agent:7"])
def test_only_a_person_lifts_a_freeze_overrides_and_renews_the_holdout(actor):
    for name, reason in (
        ("unfrozen", "only a person lifts a freeze"),
        ("renewed", "only a person overrides"),
        ("override", "only a person overrides"),
        ("epoch_2", "only a person begins another epoch"),
    ):
        assert_found(rewritten(name, {}, actor=actor).audit(), HONEST.index(name), reason)


def alarmed() -> list[Step]:
    """A history whose placebos have won too often, before the second change."""
    steps = until("proposal_2")
    return [*steps, *[step for bet in ALARMS for step in placebo_steps(bet)]]


def frozen_steps() -> list[Step]:
    frozen, unfrozen = (honest_steps()[HONEST.index(name)] for name in ("frozen", "unfrozen"))
    return [frozen, unfrozen]


def until_promoted() -> list[Step]:
    return second_lap()[:8]


def test_nothing_is_promoted_while_promotion_is_frozen():
    frozen, unfrozen = frozen_steps()
    steps = [*alarmed(), frozen, *until_promoted()]
    assert steps[-1].type is EntryType.PROMOTED
    assert_found(write(steps).audit(), len(steps) - 1, "promotion is frozen")
    steps.insert(-1, unfrozen)
    assert write(steps).audit().ok


def test_nothing_is_promoted_where_the_placebos_ask_for_a_freeze_that_never_came():
    steps = [*alarmed(), *until_promoted()]
    assert_found(write(steps).audit(), len(steps) - 1, "placebos ask for a freeze")
    del steps[-9]  # the last placebo's verdict: two wins of three are no evidence yet
    assert write(steps).audit().ok


def test_placebos_from_before_the_freeze_was_lifted_do_not_ask_for_another():
    straddling = [placebo(number, (0.3, 0.98)) for number in (14, 15, 16)]
    begun, ended = zip(*[placebo_steps(bet) for bet in straddling], strict=True)
    frozen, unfrozen = frozen_steps()
    steps = [*alarmed(), frozen, *begun, unfrozen, *ended, *until_promoted()]
    blobs = {sha(bet.blob): bet.blob for bet in straddling}
    ledger = write(steps)
    assert ledger._replace(blobs={**ledger.blobs, **blobs}).audit().ok
    after = write([*alarmed(), frozen, unfrozen, *begun, *ended, *until_promoted()])
    report = after._replace(blobs={**after.blobs, **blobs}).audit()
    assert_found(report, len(after.leaves) - 1, "placebos ask for a freeze")


# --- the holdout ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("epoch", {"config": "0" * 64}, "config is not the one that the entries before add up to"),
        ("epoch", {"share": "0.3"}, "holdout's share is 0.3, the config says 0.03"),
        ("epoch", {"share": "inf"}, "holdout's share is inf"),
        ("epoch", {"previous_salt": "5a" * 16}, "reveals the salt of the epoch before, if any"),
        ("epoch_2", {"previous_salt": ""}, "reveals the salt of the epoch before, if any"),
        ("epoch_2", {"previous_salt": salt_of("another")}, "does not open the epoch before's commitment"),
        ("epoch_2", {"previous_salt": "secret"}, "previous_salt is not one"),
        ("epoch_2", {"epoch_id": 1}, "epoch 1 has already begun"),
    ],
)
def test_an_epoch_begins_from_the_config_in_force_and_opens_the_one_before(name, edit, reason):
    assert_found(rewritten(name, edit).audit(), HONEST.index(name), reason)


def test_a_third_epoch_opens_the_second():
    steps = honest_steps()
    third = steps[HONEST.index("epoch_2")]
    payload = {**third.payload, "epoch_id": 3, "salt_commitment": "ab" * 32}
    place = HONEST.index("override")
    report = write([*steps[:place], third._replace(payload=payload)]).audit()
    assert_found(report, place, "does not open the epoch before's commitment")
    payload["previous_salt"] = salt_of("epoch 2")
    assert write([*steps[:place], third._replace(payload=payload)]).audit().ok
