"""Experiments in the ledger: every hash fits, and still a plan, level, probation or rollback is a lie."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.domain.assignment import arm_of
from services.domain.ledger_records import records_bytes
from services.domain.ledger_schema import EntryType
from services.domain.sequential import Record
from services.domain.stream import StreamRule, next_level
from tests.services.domain.ledger_evidence import HELD, LOST, PLAN, WON, WON_2, Bet, level_of, sha, trial
from tests.services.domain.ledger_history import (
    FIRST,
    HONEST,
    OTHER,
    PARAMETER,
    PROMOTED,
    REGISTERED,
    SECOND_US,
    START_US,
    Ledger,
    Step,
    assert_found,
    change,
    first,
    first_steps,
    honest_steps,
    probation_of,
    repeated,
    rewritten,
    started,
    until,
    voted,
    without,
    write,
)

Edit = Callable[[dict[str, Any]], dict[str, Any]]


def planned(**fields: Any) -> Edit:
    """An edit of some fields of the entry's plan."""
    return lambda payload: {**payload, "plan": {**payload["plan"], **fields}}


# --- the start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"stream_position": 2}, "this is experiment 1 of the stream"),
        ({"stream_position": 0}, "this is experiment 1 of the stream"),
        ({"stream_rule": "e_lond"}, "levels are drawn by lord"),
        ({"stream_rule": "mine"}, "stream_rule of the EXPERIMENT_STARTED payload is not one of"),
        ({"confirm_alpha": "0.05"}, "confirm_alpha is 0.05, the stream gives 0.0011"),
        ({"confirm_alpha": repr(level_of(1) * (1 + 1e-7))}, "the stream gives"),
        ({"confirm_alpha": "high"}, "confirm_alpha .* is not a decimal"),
        ({"scope": "agent"}, "the scope is not what was voted on"),
        ({"scope": "galaxy"}, "scope of the EXPERIMENT_STARTED payload is not one of"),
        ({"window_us": 5}, "window_us is not the config's, 0"),
        (planned(effect="0.1"), "plan's effect is not what was voted on"),
        (planned(cap_tasks=4000), "plan's cap_tasks is not what was voted on"),
        (planned(metric="task_cost", guardrails=[]), "plan's metric is not what was voted on"),
        (planned(guardrails=[]), "the plan's guardrails is not what was voted on"),
        (
            planned(guardrails=[{"metric": "task_cost", "margin": "0.4", "ceiling": "1e15"}]),
            "plan's guardrails is not what",
        ),
        (planned(grid=["1e-09"]), "the plan's grid is"),
        (planned(stated_weight="0.0"), "the plan's stated_weight is 0.0, the bet's is 0.5"),
        (planned(base_weight="1.0"), "the plan's base_weight is"),
        (planned(is_proof_required=True), "the plan's is_proof_required is"),
        (planned(futility_alpha=None), "the plan's futility_alpha is None"),
        (
            planned(guardrails=[{"metric": "task_cost", "margin": "0.5", "ceiling": "100.0"}]),
            "plan's guardrails is not what was voted on",
        ),
        (planned(alpha="0.06"), "plan's alpha 0.06 is over the config's 0.05"),
        (planned(treatment_share="0.4"), "plan's treatment_share is 0.4, the config says 0.5"),
        (planned(minimum_tasks=0), "plan's minimum_tasks is 0, the config says 20"),
        (planned(minimum_per_arm=0), "plan's minimum_per_arm is 0, the config says 5"),
        (planned(minimum_cycle_us=0), "plan's minimum_cycle_us is 0, the config says 100000"),
        (planned(ramp_share=None), "plan's ramp_share is None, the config says 0.2"),
        (planned(ramp_tasks=0), "plan's ramp_tasks is 0, the config says 10"),
        (planned(srm_alpha="0.0001"), "plan's srm_alpha is under 0.01"),
        (planned(harm_evidence="1e9"), "plan's harm_evidence is over 20"),
    ],
)
def test_a_trial_is_what_was_voted_on_at_the_streams_level(edit, reason):
    assert_found(rewritten("started", edit).audit(), HONEST.index("started"), reason)


def test_a_confirmation_raises_the_later_levels_and_only_from_then_on():
    late = next_level(StreamRule.LORD, 0.05, 2, [])
    assert_found(
        rewritten("started_2", {"confirm_alpha": repr(late)}).audit(), HONEST.index("started_2"), "gives"
    )
    steps = until("held") + voted(2, OTHER, "5.0", "7.0")
    begun = started(WON_2, "5.0", "7.0", OTHER)
    assert_found(
        write([*steps, Step("early", EntryType.EXPERIMENT_STARTED, begun)]).audit(), len(steps), "gives"
    )
    begun["confirm_alpha"] = repr(late)
    assert write([*steps, Step("early", EntryType.EXPERIMENT_STARTED, begun)]).audit().ok


def test_dependent_experiments_draw_their_levels_by_e_lond():
    steps = until("correction")
    steps[0].payload["config"] = {**steps[0].payload["config"], "sandbox.dependence": "1"}
    del steps[1]
    assert_found(write(steps).audit(), len(steps) - 1, "levels are drawn by e_lond")
    level = next_level(StreamRule.E_LOND, 0.05, 1, [])
    steps[-1].payload.update(stream_rule="e_lond", confirm_alpha=repr(level))
    assert write(steps).audit().ok


def test_a_change_of_wider_scope_has_the_configs_window_and_no_ramp():
    steps = until("correction")
    steps[4].payload["scope"] = "agent"
    flat = replace(PLAN, ramp_share=None).to_payload()
    steps[-1].payload.update(scope="agent", window_us=3600 * SECOND_US, plan=flat)
    assert write(steps).audit().ok
    steps[-1].payload["window_us"] = 0
    assert_found(write(steps).audit(), len(steps) - 1, "window_us is not the config's, 3600000000")
    steps[-1].payload.update(window_us=3600 * SECOND_US, plan=PLAN.to_payload())
    assert_found(write(steps).audit(), len(steps) - 1, "ramp_share is 0.2, the config says None")


@pytest.mark.parametrize("name", ["alpha", "dependence", "ramp_tasks"])
@pytest.mark.parametrize("value", [None, "much", "inf"])
def test_a_config_without_a_setting_is_named_not_stumbled_over(name, value):
    steps = until("correction")
    config = {**steps[0].payload["config"], f"sandbox.{name}": value}
    steps[0].payload["config"] = {key: text for key, text in config.items() if text is not None}
    del steps[1]
    assert_found(write(steps).audit(), len(steps) - 1, f"no number for sandbox.{name}")


@pytest.mark.parametrize("name", ["probation", "epoch_2", "started_2", "placebo_12"])
def test_no_salt_is_committed_to_twice(name):
    report = rewritten(name, {"salt_commitment": WON.commitment}).audit()
    assert_found(report, HONEST.index(name), "salt was committed to before")


@pytest.mark.parametrize(("name", "number"), [("placebo_10", 1), ("placebo_11", 10), ("started_2", 10)])
def test_no_number_is_given_to_two_experiments(name, number):
    report = rewritten(name, {"experiment_id": number}).audit()
    assert_found(report, HONEST.index(name), f"experiment {number} was already started")


# --- evidence ---------------------------------------------------------------------------------------------


def with_records(bet: Bet, records: list[Record]) -> Ledger:
    """The honest log with other records under one leg, its figures their own."""
    told = bet.with_records(records)
    ledger = rewritten("verdict" if bet is WON else "held", told.figures())
    ledger.blobs[sha(told.blob)] = told.blob
    return ledger


def test_records_after_the_decision_cannot_dress_up_the_estimate():
    units = [f"more:{number}" for number in range(40)]
    treated = next(unit for unit in units if arm_of(WON.salt, unit, 0.5) == 1)
    after = replace(WON.records[-1], ordinal=46, unit=treated, arm=1, outcome=1.0, share=0.5)
    report = with_records(WON, [*WON.records, after]).audit()
    assert_found(report, HONEST.index("verdict"), "ended with record 45, others follow")


@pytest.mark.parametrize(
    ("ordinal", "share", "reason"),
    [(5, 0.5, "record 5 has share 0.5 in the ramp"), (20, 0.2, "record 20 has share 0.2, not the plan's")],
)
def test_the_ramp_is_gone_through_once_so_that_no_share_is_chosen_afterwards(ordinal, share, reason):
    records = list(WON.records)
    arm = arm_of(WON.salt, records[ordinal].unit, share)
    records[ordinal] = replace(records[ordinal], share=share, arm=arm)
    assert_found(with_records(WON, records).audit(), HONEST.index("verdict"), reason)


def test_a_unit_of_the_trial_is_not_bet_on_again_in_probation():
    unit = next(
        record.unit for record in WON.records if arm_of(HELD.salt, record.unit, 0.85) == HELD.records[0].arm
    )
    records = [replace(HELD.records[0], unit=unit), *HELD.records[1:]]
    assert_found(
        with_records(HELD, records).audit(), HONEST.index("held"), r"record 0 .* was bet on in the trial"
    )


@pytest.mark.parametrize(("bet", "name"), [(WON, "verdict"), (HELD, "held")])
def test_a_cycle_that_has_not_passed_cannot_be_claimed(bet, name):
    records = [*bet.records[:-1], replace(bet.records[-1], at_us=86_400 * SECOND_US)]
    assert_found(with_records(bet, records).audit(), HONEST.index(name), "was assigned after the verdict")
    steps = honest_steps()
    place = HONEST.index(name)
    at_us = START_US + 86_500 * SECOND_US
    told = bet.with_records(records)
    later = [step._replace(at_us=at_us) for step in steps[place:]]
    later[0].payload.update(told.figures())
    ledger = write([*steps[:place], *later][: place + 1])
    ledger.blobs[sha(told.blob)] = told.blob
    assert ledger.audit().ok


@pytest.mark.parametrize("name", ["verdict", "held", "placebo_verdict_10", "verdict_2", "fell"])
def test_the_reason_is_the_bets_own(name):
    report = rewritten(name, {"reason": "we liked it"}).audit()
    assert_found(report, HONEST.index(name), "reason is 'we liked it', the records give")


def test_records_of_the_other_leg_do_not_count():
    blob = records_bytes(1, HELD.records)
    ledger = rewritten("held", {"records_sha256": sha(blob)})
    ledger.blobs[sha(blob)] = blob
    assert_found(ledger.audit(), HONEST.index("held"), "of the leg 'trial', not of the probation")


# --- probation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (planned(treatment_share="0.5"), "probation's share is 0.5, the config says 0.85"),
        (planned(cap_tasks=10**9), "probation's cap_tasks is 1000000000, the config says 400"),
        (planned(alpha="0.05"), "probation's alpha is 0.05, the trial gives 0.0011"),
        (planned(is_proof_required=False), "probation's is_proof_required is False, the trial gives True"),
        (planned(guardrails=[]), "probation's guardrails is .*, the trial gives"),
        (planned(harm_evidence="1e9"), "probation's harm_evidence is"),
        (planned(srm_alpha="0.0001"), "probation's srm_alpha is"),
        (planned(base_rate="0.1"), "probation's base_rate is 0.1, the trial gives"),
        (planned(effect="0.3"), "probation's effect is 0.3"),
        (planned(effect="none"), "plan cannot be bet on"),
        ({"experiment_id": 7}, "experiment 7 is unknown"),
        ({"proposal_id": 2}, "experiment 1 belongs to proposal 1"),
    ],
)
def test_a_probation_is_the_one_that_follows_from_its_trial(edit, reason):
    assert_found(rewritten("probation", edit).audit(), HONEST.index("probation"), reason)


def test_a_probation_comes_after_the_promotion_once():
    steps = honest_steps()
    place = HONEST.index("promoted")
    early = [*steps[:place], steps[place + 1], steps[place]]
    assert_found(write(early).audit(), place, "only a promotion that stands goes on probation")
    assert_found(repeated("probation").audit(), place + 2, "goes on probation, once")
    other = {"salt_commitment": sha(b"other")}
    assert_found(repeated("probation", **other).audit(), place + 2, "goes on probation, once")


def rolled_back_by(actor: str, *, promoted: int, at: str) -> list[Step]:
    """The honest steps before `at`, and the first promotion rolled back by `actor`."""
    undone = {"reason": "r", "version": 3, "read_back": "0.9", "promoted_index": promoted}
    payload = {**change(PROMOTED, REGISTERED), **undone}
    return [*until(at), Step("undone", EntryType.ROLLED_BACK, payload, actor=actor)]


@pytest.mark.parametrize("at", ["probation", "held", "confirmed"])
@pytest.mark.parametrize("actor", ["system:learn", "agent:7", "system:start", "Operator"])
def test_the_platform_takes_back_only_what_lost_its_probation_a_person_anything(actor, at):
    promoted = HONEST.index("promoted")
    steps = rolled_back_by(actor, promoted=promoted, at=at)
    assert_found(write(steps).audit(), len(steps) - 1, "only what lost its probation")
    assert write(rolled_back_by("operator", promoted=promoted, at=at)).audit().ok


def test_what_was_rolled_back_is_neither_put_on_probation_nor_confirmed():
    promoted = HONEST.index("promoted")
    for at, reason in (("probation", "goes on probation"), ("confirmed", "that stands can be confirmed")):
        steps = rolled_back_by("operator", promoted=promoted, at=at)
        late = honest_steps()[HONEST.index(at)]
        assert_found(write([*steps, late]).audit(), len(steps), reason)


def test_a_lost_probation_is_not_confirmed():
    steps = until("taken_back")
    payload = {"experiment_id": 2, "parameter": OTHER}
    report = write([*steps, Step("confirmed_2", EntryType.CONFIRMED, payload)]).audit()
    assert_found(report, len(steps), "its probation was not won")


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("held", {"leg": "trial"}, "experiment 1 already has its verdict"),
        ("verdict", {"leg": "probation"}, "experiment 1 is in no probation that could end"),
        ("verdict", {"leg": "overtime"}, "leg of the VERDICT payload is not one of"),
        ("held", {"experiment_id": 9}, "experiment 9 is unknown"),
    ],
)
def test_a_verdict_names_the_leg_that_ended(name, edit, reason):
    assert_found(rewritten(name, edit).audit(), HONEST.index(name), reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("held", "in no probation that could end"),
        ("fell", "in no probation that could end"),
        ("confirmed", "already confirmed"),
        ("taken_back", "already rolled back"),
        ("promoted_2", "already promoted"),
        ("placebo_10", "already started"),
        ("placebo_verdict_10", "no placebo that could end"),
        ("frozen", "already frozen"),
        ("unfrozen", "not frozen"),
        ("epoch", "epoch 1 has already begun"),
        ("epoch_2", "epoch 2 has already begun"),
    ],
)
def test_nothing_happens_twice(name, reason):
    assert_found(repeated(name).audit(), HONEST.index(name) + 1, reason)


# --- one experiment per parameter -------------------------------------------------------------------------

AGAIN = trial(3, (0.6, 0.97))


def third(control: str, **edit: Any) -> list[Step]:
    """A passed change of the first parameter from `control`, and the start of its trial."""
    level = repr(next_level(StreamRule.LORD, 0.05, edit["stream_position"], edit.pop("known")))
    begun = {**started(AGAIN, control, "2.0", PARAMETER), "confirm_alpha": level, **edit}
    return [*voted(3, PARAMETER, control, "2.0"), Step("third", EntryType.EXPERIMENT_STARTED, begun)]


@pytest.mark.parametrize("at", ["recovered", "held", "confirmed"])
def test_no_second_experiment_starts_on_a_parameter_in_probation(at):
    steps = [*until(at), *third("1.8", stream_position=2, known=[])]
    assert_found(write(steps).audit(), len(steps) - 1, "an experiment on .* is already running")


def test_a_parameter_is_free_once_its_change_is_confirmed_or_taken_back():
    assert write([*until("epoch"), *third("1.8", stream_position=2, known=[1])]).audit().ok
    undone = rolled_back_by("operator", promoted=HONEST.index("promoted"), at="held")
    assert write([*undone, *third("0.9", stream_position=2, known=[])]).audit().ok


def test_an_older_promotion_rolled_back_under_an_experiment_leaves_it_its_parameter():
    steps = [*until("rolled_back"), *third("1.8", stream_position=3, known=[1])]
    undoing = honest_steps()[HONEST.index("rolled_back")]
    assert write([*steps, undoing]).audit().ok
    number, again = 4, third("0.9", stream_position=4, known=[1])
    for step in again:
        step.payload["proposal_id"] = number
    again[-1].payload["experiment_id"] = number
    report = write([*steps, undoing, *again]).audit()
    assert_found(report, len(steps) + len(again), "an experiment on research_synthesis.* is already running")


def test_a_parameter_is_free_after_a_lost_trial():
    steps = until("recovered")
    del steps[HONEST.index("promoted") :]
    steps[-1].payload.update({**LOST.verdict(), "proposal_id": 1})
    assert write([*steps, *third("0.9", stream_position=2, known=[])]).audit().ok


def refusal(number: int, experiment_id: int | None) -> Step:
    facts = {"proposal_id": number, "experiment_id": experiment_id, "parameter": PARAMETER, "reason": "r"}
    return Step("no", EntryType.REFUSED, facts)


def test_a_refusal_waits_for_the_verdict_and_comes_once():
    running = until("verdict")
    assert_found(write([*running, refusal(1, 1)]).audit(), len(running), "experiment 1 has no verdict yet")
    ended = until("promoted")
    assert write([*ended, refusal(1, 1)]).audit().ok
    report = write([*ended, refusal(1, 1), refusal(1, 1)]).audit()
    assert_found(report, len(ended) + 1, "already refused")
    passed = until("started")
    report = write([*passed, refusal(1, None), refusal(1, None)]).audit()
    assert_found(report, len(passed) + 1, "proposal 1 is refused, not open or passed")


def test_a_refused_win_frees_its_parameter():
    steps = [*until("promoted"), refusal(1, 1), *third("0.9", stream_position=2, known=[])]
    assert write(steps).audit().ok
    del steps[HONEST.index("promoted")]
    assert_found(write(steps).audit(), len(steps) - 1, "already running")


# --- the first format -------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [0, 4, "2", True, None])
def test_an_unknown_format_is_refused(written):
    assert_found(rewritten("genesis", {"format": written}).audit(), 0, "format .* is unknown")


def test_the_second_format_does_not_pass_as_a_ledger_that_lacks_its_fields():
    for name, field in (("proposal", "scope"), ("started", "confirm_alpha"), ("verdict", "leg")):
        report = rewritten(
            name, lambda payload, left=field: {k: v for k, v in payload.items() if k != left}
        ).audit()
        assert_found(report, HONEST.index(name), f"payload lacks {field}")


def test_the_first_format_is_held_to_its_own_rules():
    assert_found(first("verdict", estimate="0.9").audit(), 13, "verdict's estimate is 0.9")
    assert_found(first("promoted", to="2.0").audit(), 14, "not the treatment that was tested")
    assert_found(first("started", confirm_alpha=[]).audit(), 11, "confirm_alpha .* is not a decimal")
    assert_found(first(format=2).audit(), 4, "PROPOSAL payload lacks scope")
    assert first("started", confirm_alpha="0.01").audit().ok


def test_a_confirmation_of_the_second_format_needs_a_probation():
    ledger = without("probation", "held")
    assert_found(ledger.audit(), ledger.index("confirmed"), "its probation was not won")


def test_the_first_format_has_no_probation_without_a_level_to_be_confirmed_at():
    steps = [*first_steps()[:15], Step("probation", EntryType.PROBATION_STARTED, probation_of(HELD))]
    ledger = write(steps)
    ledger.blobs.update(FIRST.blobs)
    assert_found(ledger.audit(), 15, "no level to be confirmed at")
