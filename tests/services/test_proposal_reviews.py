"""Late swings, owners' ballots, conflicts of interest, and the gate that only a person opens."""

import json
from dataclasses import replace
from functools import partial

import pytest

from services import ab_sandbox, proposal_system
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.events import EventType
from services.domain.parameters import ParameterRegistry, Risk
from services.domain.states import BallotChoice, ExperimentScope, OutcomeKind, Scope
from services.operations import overrides, production_config, review_queue
from services.store import governance, sql, tables
from tests.services.laboratory import MINIMUM_PERIOD_SECONDS, TIMEOUT, TYPE, VOTING_PERIOD_SECONDS
from tests.services.test_proposal_system import race

FOR, AGAINST, ABSTAIN = BallotChoice.FOR, BallotChoice.AGAINST, BallotChoice.ABSTAIN
GATED = f"{TYPE}.maximum_attempts"
RULE = f"{TYPE}.award_rule"
QUARTER = VOTING_PERIOD_SECONDS / 4
DAY_SECONDS = 86_400
REVIEW_SECONDS = 3 * DAY_SECONDS


def setting(lab, name, value):
    """Set a value as a person would, so that the config stays the fold of the ledger."""
    with lab.write("operator") as tx:
        overrides.set_parameter(tx, lab.platform.registry, overrides.Wanted(name, value), reason="a test")


def ledger_types(lab):
    return [row["type"] for row in lab.rows(tables.ledger_entry)]


def gated(lab):
    """Return a GATED proposal that passed its vote, and its gate."""
    proposal_id = lab.file(parameter=GATED, to="3", expected_effect="0.25")
    for agent_id in lab.voters[:4]:
        lab.cast(proposal_id, agent_id, reason="worth a try", forecast=70)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    return proposal_id, lab.row(tables.review_gate, proposal_id=proposal_id)


def decide(lab, gate, *, is_approved=True, actor="operator", **changes):
    said = {"shown_sha256": gate["shown_sha256"], "reviewer": "Ida Lovelace", "reason": "seen", **changes}
    with lab.write(actor) as tx:
        return proposal_system.decide_review(
            tx, proposal_id=gate["proposal_id"], is_approved=is_approved, **said
        )


def test_a_late_third_ballot_extends_once_and_the_ledger_shows_why(lab):
    proposal_id = lab.file()
    closes = lab.row(tables.proposal, id=proposal_id)["closes_at_us"]
    lab.cast(proposal_id, lab.voters[0])
    lab.cast(proposal_id, lab.voters[1])
    lab.pass_seconds(3.5 * QUARTER)
    lab.cast(proposal_id, lab.voters[2], AGAINST, "too slow")
    later = lab.row(tables.proposal, id=proposal_id)
    assert (later["extended_from_us"], later["closes_at_us"]) == (closes, lab.now_us + QUARTER * 1_000_000)
    lab.pass_seconds(0.9 * QUARTER)
    lab.cast(proposal_id, lab.voters[3], AGAINST, "still too slow")  # 2 to 2: a flip, but not a second time
    assert lab.row(tables.proposal, id=proposal_id)["closes_at_us"] == later["closes_at_us"]
    lab.tally()
    assert lab.state(proposal_id) == "open"
    lab.pass_seconds(0.1 * QUARTER)
    lab.tally()
    assert lab.state(proposal_id) == "rejected"
    assert ledger_types(lab).count("EXTENDED") == 1
    assert lab.audit().ok


def test_a_vote_in_time_or_without_a_swing_is_not_extended(lab):
    proposal_id = lab.file()
    for agent_id in lab.voters[:2]:
        lab.cast(proposal_id, agent_id, AGAINST, "no")
    lab.pass_seconds(2.99 * QUARTER)
    lab.cast(proposal_id, lab.voters[2], FOR)
    lab.pass_seconds(0.5 * QUARTER)
    lab.cast(proposal_id, lab.voters[3], ABSTAIN)
    row = lab.row(tables.proposal, id=proposal_id)
    assert row["extended_from_us"] is None
    assert "EXTENDED" not in ledger_types(lab)


def test_a_gated_change_waits_for_a_person_who_approves_exactly_what_was_shown(lab):
    proposal_id, gate = gated(lab)
    assert lab.state(proposal_id) == "review"
    lab.deliver()
    assert lab.rows(tables.experiment) == []
    with pytest.raises(ConflictError, match="approve or refuse"), lab.write("operator") as tx:
        review_queue.close_item(tx, lab.row(tables.review_item, kind="review_gate")["id"])
    for changes, error, code in (
        ({"shown_sha256": "0" * 64}, ConflictError, "review_changed"),
        ({"reason": "  "}, InvalidValueError, "reason_missing"),
        ({"reviewer": " "}, InvalidValueError, "reviewer_missing"),
        ({"reviewer": " Agent_ 1 "}, ForbiddenError, "reviewer_proposed"),
    ):
        with pytest.raises(error) as refused:
            decide(lab, gate, **changes)
        assert refused.value.code == code
    assert decide(lab, gate) == "approved"
    assert lab.state(proposal_id) == "passed"
    with pytest.raises(ConflictError) as again:
        decide(lab, gate, is_approved=False)
    assert again.value.code == "review_decided"
    lab.deliver()
    assert lab.state(proposal_id) == "testing"
    assert lab.row(tables.review_item, kind="review_gate")["closed_at_us"] is not None
    assert lab.audit().ok


def test_who_stands_behind_a_change_decides_it_under_no_spelling(lab):
    """Its name, number and owner in look-alike letters, marks and separators; and the name of nobody."""
    lab.proposer = lab.agent(Scope.PROPOSE, owner="Acme Corp")
    proposal_id, gate = gated(lab)
    name = f"agent_{lab.names}"
    own = [name, name.upper(), name.replace("a", "а"), f"agent:{lab.proposer}", f"Agent {lab.proposer}"]
    own += ["Acme Corp", "acme-corp", "асme\u200b corp", "ＡＣＭＥ ＣＯＲＰ", "owner:acme corp", "Äcme Corp"]
    for reviewer in own:
        with pytest.raises(ForbiddenError) as refused:
            decide(lab, gate, reviewer=reviewer)
        assert refused.value.code == "reviewer_proposed", reviewer
    for nobody in (" ", "\u200b", "…", "Acme Corp" + " " * 80):
        with pytest.raises(InvalidValueError) as refused:
            decide(lab, gate, reviewer=nobody)
        assert refused.value.code == "reviewer_missing", nobody
    decide(lab, gate, reviewer="Ida of Acme Corp")
    assert lab.state(proposal_id) == "passed"


def test_a_person_is_shown_the_terms_of_the_vote_and_how_long_the_trial_takes(lab):
    proposal_id, gate = gated(lab)
    row = lab.row(tables.proposal, id=proposal_id)
    shown = json.loads(lab.row(tables.blob, sha256=gate["shown_sha256"])["content"])
    for name in ("risk", "rules", "conflicts", "electorate_mode"):
        assert shown[name] == row[name], name
    assert float(shown["units_per_day"]) == row["units_per_day"]
    lasts = float(shown["expected_seconds"])
    assert lasts == pytest.approx(86_400 * row["admission_tasks"] / row["units_per_day"])


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_no_or_silence_ends_a_gated_change(lab, is_silent):
    proposal_id, gate = gated(lab)
    if is_silent:
        lab.pass_seconds(REVIEW_SECONDS)
        with pytest.raises(ConflictError, match="that is a no"):
            decide(lab, gate)
        assert lab.tally()["expired"] == 1
    else:
        decide(lab, gate, is_approved=False)
    lab.deliver()
    assert lab.state(proposal_id) == ("expired" if is_silent else "refused")
    assert lab.rows(tables.experiment) == []
    assert lab.rows(tables.event, type=EventType.PROPOSAL_PASSED) == []
    assert lab.audit().ok


def test_an_owner_has_one_ballot_however_many_agents_it_splits_into(lab):
    setting(lab, "consensus.electorate", "owner")
    acme = [lab.agent(Scope.VOTE, owner="acme") for _ in range(20)]
    kin = lab.agent(Scope.VOTE, owner="agent_1")
    proposal_id = lab.file()
    row = lab.row(tables.proposal, id=proposal_id)
    assert row["electorate"] == len(lab.voters) + 1
    assert row["conflicts"] == {
        f"agent:{lab.proposer}": "proposer",
        f"agent:{kin}": "same owner as the proposer",
    }
    lab.cast(proposal_id, acme[7])
    with pytest.raises(ConflictError) as refused:
        lab.cast(proposal_id, acme[8], AGAINST, "I am another")
    assert refused.value.code == "already_voted"
    assert lab.row(tables.ballot, proposal_id=proposal_id)["unit"] == "owner:acme"
    assert lab.audit().ok


def test_whose_pay_the_change_sets_has_no_ballot(lab):
    whole = {"scope": ExperimentScope.PLATFORM, "cap_days": 365}
    proposal_id = lab.file(parameter=RULE, to="1", expected_effect="0.35", **whole)
    row = lab.row(tables.proposal, id=proposal_id)
    workers = {f"agent:{number}" for number in lab.voters}
    assert set(row["conflicts"]) == {*workers, f"agent:{lab.proposer}"}
    assert row["electorate"] == 0


def test_a_strangers_task_takes_nobodys_vote(lab):
    """Only who is paid by the platform, or by a requester that is vouched for, has a stake in the pay."""
    lab.pass_seconds(8 * DAY_SECONDS)
    lab.ended_tasks(60, type_="monte_carlo")
    stranger, known = lab.agent(Scope.POST, is_vouched=False), lab.agent(Scope.POST)
    posters = [None, known, stranger, stranger, stranger, stranger]
    with lab.write() as tx:
        for voter, requester in zip(lab.voters, posters, strict=True):
            sql.update(tx, tables.agent, {"id": voter}, last_active_at_us=tx.now_us)
            lab.plant(
                tx, state="awarded", awarded_agent_id=voter, awarded_at_us=tx.now_us, requester_id=requester
            )
        paid = governance.paid_since(tx, TYPE, tx.now_us - 7 * DAY_SECONDS * 1_000_000)
    assert paid == set(lab.voters[:2])


def test_a_thousand_fresh_identities_move_no_vote(lab):
    crowd = [lab.agent(Scope.VOTE, Scope.BID, is_vouched=False) for _ in range(20)]
    with lab.write() as tx:
        known = sql.find(tx, tables.agent, id=crowd[0])
        first = crowd[-1] + 1
        rows = [
            {**known, "id": first + number, "name": f"fresh {number}", "key_hash": f"fresh {number}"}
            for number in range(980)
        ]
        sql.insert_many(tx, tables.agent, rows)
        everyone = [*crowd, *range(first, first + 980)]
        sql.update_many(
            tx, tables.agent, ("id",),
            [{"id": number, "standing": "full", "settled_jobs": 500} for number in everyone],
        )  # fmt: skip
        sql.insert_many(
            tx, tables.agent_outcome,
            [
                {"agent_id": number, "kind": OutcomeKind.VERIFIED, "task_id": None, "attempt_number": None,
                 "task_type": TYPE, "requester_id": everyone[place - 1], "confidence_percent": None,
                 "recorded_at_us": tx.now_us}
                for place, number in enumerate(everyone) for _ in range(5)
            ],
        )  # fmt: skip
    lab.pass_seconds(2 * 86_400)
    with lab.write() as tx:
        sql.update_many(
            tx, tables.agent, ("id",), [{"id": number, "last_active_at_us": tx.now_us} for number in everyone]
        )
    lab.ended_tasks(60)
    lab.pass_seconds(3_600)
    proposal_id = lab.file()
    assert lab.row(tables.proposal, id=proposal_id)["electorate"] == len(lab.voters)
    with pytest.raises(ForbiddenError):
        lab.cast(proposal_id, everyone[500])


def test_work_for_others_and_a_day_earn_a_ballot(lab):
    newcomer = lab.agent(Scope.VOTE, is_vouched=False)
    outcome = {"kind": OutcomeKind.VERIFIED, "task_type": TYPE, "recorded_at_us": lab.now_us}
    with lab.write() as tx:
        sql.update(tx, tables.agent, {"id": newcomer}, standing="probation", settled_jobs=5)
        sql.insert_many(tx, tables.agent_outcome, [{"agent_id": newcomer, **outcome}] * 5)
    first = lab.file()
    assert newcomer not in {row["agent_id"] for row in lab.rows(tables.elector, proposal_id=first)}
    with lab.write() as tx:
        proposal_system.withdraw(tx, proposal_id=first, agent_id=lab.proposer)
    lab.pass_seconds(86_400)
    lab.ended_tasks(60)
    lab.pass_seconds(3_600)
    second = lab.file(to="170")
    assert newcomer in {row["agent_id"] for row in lab.rows(tables.elector, proposal_id=second)}


def test_the_rule_of_the_opening_decides_whatever_is_set_later(lab):
    proposal_id = lab.file()
    setting(lab, "consensus.threshold_percent", "100")
    for agent_id in lab.voters[:4]:
        lab.cast(proposal_id, agent_id)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(proposal_id) == "passed"
    assert lab.audit().ok


def test_a_value_that_moved_during_the_review_is_refused_at_the_start(lab):
    proposal_id, gate = gated(lab)
    setting(lab, GATED, "4")
    decide(lab, gate)
    lab.deliver()
    assert lab.state(proposal_id) == "refused"
    assert lab.rows(tables.experiment) == []
    assert lab.audit().ok


def test_exactly_one_of_racing_reviewers_decides(lab):
    proposal_id, gate = gated(lab)
    acts = [partial(decide, lab, gate, is_approved=number % 2 == 0) for number in range(4)]
    results = race(*acts)
    refused = [found for found in results if isinstance(found, ConflictError)]
    assert [error.code for error in refused] == ["review_decided"] * 3
    assert ledger_types(lab).count("REVIEW_DECIDED") == 1
    (decision,) = [found for found in results if not isinstance(found, Exception)]
    assert lab.state(proposal_id) == ("passed" if decision == "approved" else "refused")


def test_two_owners_agents_racing_cast_one_ballot(lab):
    setting(lab, "consensus.electorate", "owner")
    twins = [lab.agent(Scope.VOTE, owner="acme") for _ in range(4)]
    proposal_id = lab.file()
    results = race(*[partial(lab.cast, proposal_id, agent_id) for agent_id in twins])
    assert sum(isinstance(found, ConflictError) for found in results) == 3
    assert len(lab.rows(tables.ballot, proposal_id=proposal_id)) == 1


@pytest.mark.parametrize("risk", [Risk.GATED, Risk.FIXED])
def test_a_parameter_that_is_declared_stricter_while_its_vote_is_open(lab, risk):
    proposal_id = lab.file()
    registry = lab.platform.registry
    stricter = ParameterRegistry(replace(one, risk=risk) if one.name == TIMEOUT else one for one in registry)
    with lab.write("system:start") as tx:
        production_config.install(tx, stricter, origin="ignored")
    assert ledger_types(lab)[-1] == "DECLARED"
    for agent_id in lab.voters[:4]:
        lab.cast(proposal_id, agent_id)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(proposal_id) == "review"
    decide(lab, lab.row(tables.review_gate, proposal_id=proposal_id))
    with lab.write("system:experiment") as tx:
        started = ab_sandbox.start_experiment(tx, stricter, proposal_id, bytes)
    assert (started is None) is (risk is Risk.FIXED)
    assert lab.state(proposal_id) == ("refused" if risk is Risk.FIXED else "testing")
    report = lab.audit()
    assert report.ok, report.reason
