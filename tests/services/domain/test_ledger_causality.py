"""Causality: every hash fits, and still it is a lie; the first entry without a cause is named."""

import pytest

from services.domain.ledger_causality import config_hash
from services.domain.ledger_schema import EntryType
from tests.services.domain.ledger_history import (
    CLOSES_US,
    HONEST,
    OTHER,
    PARAMETER,
    PLAN,
    PROMOTED,
    REGISTERED,
    START_US,
    VOTERS,
    Step,
    assert_found,
    ballot,
    change,
    honest_steps,
    repeated,
    rewritten,
    sha,
    without,
    write,
)


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("registered", {"parameter": PARAMETER}, "already registered"),
        ("registered", {"config_before": "0" * 64}, "config_before is not the hash"),
        ("registered", {"value": "7.0"}, "config_after is not the hash"),
        ("proposal", {"parameter": "unknown"}, "not a registered parameter"),
        ("proposal", {"from": "0.8"}, "is '0.9' in the config, not '0.8'"),
        ("proposal", {"proposer": "ada"}, "proposer is in the electorate"),
        ("proposal", {"electorate": [*VOTERS, "ada"]}, "an elector twice"),
        ("proposal", {"closes_at_us": START_US}, "closes before it opens"),
        ("proposal", {"root_cause_sha256": "1" * 64}, "blob of root_cause_sha256 .* is missing"),
        ("ballot_ada", {"voter": "mallory"}, "'mallory' is not in the frozen electorate"),
        ("ballot_ada", {"voter": "doc"}, "'doc' is not in the frozen electorate"),
        ("ballot_ben", {"voter": "ada"}, "'ada' has already voted"),
        ("ballot_ada", {"proposal_id": 9}, "proposal 9 is unknown"),
        ("ballot_cyd", {"reason_sha256": sha(b"")}, "against needs a reason"),
        ("ballot_cyd", {"reason_sha256": "2" * 64}, "blob of reason_sha256 .* is missing"),
        ("tally", {"yes": 5}, "says yes 5, the ballots 4"),
        ("tally", {"no": 0}, "says no 0, the ballots 1"),
        ("tally", {"abstain": 1}, "says abstain 1, the ballots 0"),
        ("tally", {"electorate": 5}, "says electorate 5, the ballots 6"),
        ("tally", {"outcome": "rejected"}, "says rejected, the rule says passed"),
        ("tally", {"is_closed": True}, "closed before its deadline"),
        ("started", {"control": "0.8"}, "not the value in force"),
        ("started", {"treatment": "3.6"}, "not the value that was voted on"),
        ("started", {"parameter": OTHER}, "the proposal was about research_synthesis"),
        ("started", {"plan": {}}, "plan cannot be bet on"),
        ("started", {"plan": {**PLAN.to_payload(), "cap_tasks": None}}, "plan cannot be bet on"),
        ("verdict", {"experiment_id": 2}, "experiment 2 is unknown"),
        ("verdict", {"proposal_id": 2}, "experiment 1 belongs to proposal 1"),
        ("promoted", {"parameter": OTHER}, "experiment 1 tested research_synthesis"),
        ("promoted", {"from": "0.8"}, "not the control that was tested"),
        ("promoted", {"to": "3.6"}, "not the treatment that was tested"),
        ("promoted", {"read_back": "0.9"}, "read back is not the value promoted"),
        ("promoted", {"config_after": config_hash(REGISTERED)}, "config_after is not the hash"),
        ("recovered", {"episode_id": 4}, "no anomaly opened episode 4"),
        ("confirmed", {"experiment_id": 2}, "experiment 2 is unknown"),
        ("rolled_back", {"promoted_index": 13}, "entry 13 is not a promotion"),
        ("rolled_back", {"to": "1.0", "read_back": "1.0"}, "before the promotion was '0.9', not '1.0'"),
        ("rolled_back", {"from": "1.0"}, "not the value that was promoted"),
        ("rolled_back", {"parameter": OTHER}, "the promotion was of research_synthesis"),
        ("rolled_back", {"read_back": "1.8"}, "read back is not the value restored"),
        ("override", {"from": "4.0"}, "is '5.0' in the config, not '4.0'"),
        ("override", {"parameter": "unknown"}, "not a registered parameter"),
        ("refused", {"experiment_id": 1, "proposal_id": 1, "parameter": PARAMETER}, "already promoted"),
        ("correction", {"corrects": 12}, "names an earlier entry"),
    ],
)
def test_a_lie_is_named_though_every_hash_fits(name, edit, reason):
    assert_found(rewritten(name, edit).audit(), HONEST.index(name), reason)


@pytest.mark.parametrize(
    ("left_out", "found_at", "reason"),
    [
        (["genesis"], "registered", "GENESIS is entry 0"),
        (["proposal"], "ballot_ada", "proposal 1 is unknown"),
        (["ballot_dot"], "tally", "says yes 4, the ballots 3"),
        (["tally"], "started", "proposal 1 is open, not passed"),
        (["tally", "ballot_ada", "ballot_ben"], "started", "proposal 1 is open, not passed"),
        (["started"], "verdict", "experiment 1 is unknown"),
        (["started", "verdict"], "promoted", "experiment 1 is unknown"),
        (["verdict"], "promoted", "experiment 1 has no verdict, not a win"),
        (["promoted"], "probation", "only a promotion that stands goes on probation"),
        (["probation"], "held", "experiment 1 is in no probation"),
        (["held"], "confirmed", "its probation was not won"),
        (["anomaly"], "recovered", "no anomaly opened episode 3"),
    ],
)
def test_a_link_left_out_is_missed_by_what_it_caused(left_out, found_at, reason):
    ledger = without(*left_out)
    assert_found(ledger.audit(), ledger.index(found_at), reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("genesis", "GENESIS is entry 0"),
        ("registered", "config_before|already registered"),
        ("proposal", "already filed"),
        ("ballot_ada", "already voted"),
        ("tally", "is passed, not open"),
        ("started", "already started"),
        ("verdict", "already has its verdict"),
        ("promoted", "already promoted"),
        ("confirmed", "already confirmed"),
        ("rolled_back", "already rolled back"),
        ("recovered", "no anomaly opened"),
    ],
)
def test_nothing_happens_twice(name, reason):
    assert_found(repeated(name).audit(), HONEST.index(name) + 1, reason)


def test_a_second_experiment_of_one_proposal_is_refused():
    report = repeated("started", experiment_id=2).audit()
    assert_found(report, HONEST.index("started") + 1, "proposal 1 is testing, not passed")


def test_a_rejected_proposal_cannot_start():
    steps = honest_steps()
    for name in ("ballot_ada", "ballot_ben"):
        place = HONEST.index(name)
        steps[place] = steps[place]._replace(payload=ballot(name[-3:], "against"))
    place = HONEST.index("tally")
    steps[place].payload.update(yes=2, no=3, outcome="rejected")
    assert_found(write(steps).audit(), place + 1, "proposal 1 is rejected, not passed")
    steps[place].payload.update(outcome="passed")
    assert_found(write(steps).audit(), place, "says passed, the rule says rejected")


def test_the_rule_in_force_is_the_one_of_genesis():
    rules = {"threshold_percent": 81, "minimum_ballots": 3}
    report = rewritten("genesis", {"rules": rules}).audit()
    assert_found(report, HONEST.index("tally"), "says passed, the rule says open")


@pytest.mark.parametrize(("at_us", "reason"), [(CLOSES_US, "after the vote closed"), (0, "")])
def test_a_late_ballot_is_refused(at_us, reason):
    steps = honest_steps()[: HONEST.index("ballot_ada")]
    report = write([*steps, Step("late", EntryType.BALLOT, ballot("ada", "for"), at_us)]).audit()
    assert (report.ok, report.first_error_index) == ((True, None) if not reason else (False, len(steps)))
    assert reason in report.reason


def test_an_early_ballot_is_refused():
    report = rewritten("proposal", {"opens_at_us": CLOSES_US - 1}).audit()
    assert_found(report, HONEST.index("ballot_ada"), "before the vote opened")


@pytest.mark.parametrize(
    ("at_us", "is_closed", "reason"),
    [(CLOSES_US, True, ""), (CLOSES_US, False, "open after its deadline"), (CLOSES_US - 1, False, "")],
)
def test_a_tally_says_truly_whether_the_vote_is_over(at_us, is_closed, reason):
    steps = honest_steps()[: HONEST.index("tally") + 1]
    steps[-1] = steps[-1]._replace(at_us=at_us, payload={**steps[-1].payload, "is_closed": is_closed})
    report = write(steps).audit()
    assert report.reason == "" if not reason else reason in report.reason


def test_withdrawal_ends_a_vote_before_the_first_ballot_only():
    steps = honest_steps()
    place = HONEST.index("proposal")
    withdrawn = Step("withdrawn", EntryType.WITHDRAWN, {"proposal_id": 1})
    assert write([*steps[: place + 1], withdrawn]).audit().ok
    report = write([*steps[: place + 1], withdrawn, *steps[place + 1 :]]).audit()
    assert_found(report, place + 2, "proposal 1 is withdrawn, not open")
    report = write([*steps[: place + 2], withdrawn]).audit()
    assert_found(report, place + 2, "only before the first ballot")


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (Step("expired", EntryType.EXPIRED, {"proposal_id": 1}), "expired"),
        (
            Step(
                "refused",
                EntryType.REFUSED,
                {
                    "proposal_id": 1,
                    "experiment_id": None,
                    "parameter": PARAMETER,
                    "reason": "needs 900 tasks",
                },
            ),
            "refused",
        ),
    ],
)
def test_a_passed_proposal_that_ended_cannot_start(end, state):
    steps = honest_steps()
    place = HONEST.index("started")
    assert write([*steps[:place], end]).audit().ok
    assert_found(write([*steps[:place], end, *steps[place:]]).audit(), place + 1, f"1 is {state}, not passed")


def test_a_refused_win_cannot_be_promoted():
    steps = honest_steps()
    place = HONEST.index("promoted")
    payload = {"proposal_id": 1, "experiment_id": 1, "parameter": PARAMETER, "reason": "the config had moved"}
    refused = Step("refused", EntryType.REFUSED, payload)
    assert write([*steps[:place], refused]).audit().ok
    assert_found(write([*steps[:place], refused, *steps[place:]]).audit(), place + 1, "already refused")


def test_a_promotion_over_a_value_changed_by_hand_is_refused():
    steps = honest_steps()
    place = HONEST.index("promoted")
    by_hand = {**REGISTERED, PARAMETER: "1.0"}
    override = Step(
        "by_hand",
        EntryType.OVERRIDE,
        {**change(REGISTERED, by_hand), "act": "set", "reason": "hurry"},
        actor="operator",
    )
    steps[place].payload.update(config_before=config_hash(by_hand), config_after=config_hash(PROMOTED))
    report = write([*steps[:place], override, *steps[place:]]).audit()
    assert_found(report, place + 1, "is '1.0' in the config, not '0.9'")


def test_two_experiments_on_one_parameter_cannot_run_at_once():
    steps = honest_steps()
    start = HONEST.index("started")
    vote = [step for step in steps[:start] if "proposal_id" in step.payload]
    second = [step._replace(payload={**step.payload, "proposal_id": 2}) for step in vote]
    started = steps[start]._replace(payload={**steps[start].payload, "proposal_id": 2, "experiment_id": 2})
    report = write([*steps[:start], *second, steps[start], started]).audit()
    assert_found(report, start + len(second) + 1, "an experiment on .* is already running")
    assert write([*steps[:start], *second, started]).audit().ok


def test_a_change_under_test_is_not_refused_behind_its_experiments_back():
    steps = honest_steps()[: HONEST.index("started") + 1]
    payload = {"proposal_id": 1, "experiment_id": None, "parameter": PARAMETER, "reason": "no longer wanted"}
    report = write([*steps, Step("refused", EntryType.REFUSED, payload)]).audit()
    assert_found(report, len(steps), "the proposal's experiment must be named")
