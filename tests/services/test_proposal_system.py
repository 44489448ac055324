"""Filing a proposal: everything that would have to be refused later is refused at once, by name."""

import threading

import pytest

from services import proposal_system
from services.domain.clock import DAY_US, to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, NacreError, NotFoundError
from services.domain.parameters import Risk
from services.domain.states import BallotChoice, EndReason, ExperimentScope, Scope
from services.operations import accounts, overrides
from services.store import sql, tables
from tests.services.laboratory import MINIMUM_PERIOD_SECONDS, TIMEOUT, TYPE, VOTING_PERIOD_SECONDS

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
GATED = f"{TYPE}.maximum_attempts"


def refusal(lab, proposer=None, **changes):
    """Return the error of a filing that must be refused; nothing may be left behind."""
    entries = len(lab.types())
    proposals = len(lab.rows(tables.proposal))
    with pytest.raises(NacreError) as refused:
        lab.file(proposer, **changes)
    assert len(lab.types()) == entries
    assert len(lab.rows(tables.proposal)) == proposals
    return refused.value


def test_filed_proposal_is_open_with_its_electorate_frozen(lab):
    proposal_id = lab.file()
    row = lab.row(tables.proposal, id=proposal_id)
    assert (row["state"], row["from_value"], row["to_value"], row["from_version"]) == ("open", "90", "180", 1)
    assert row["base_rate"] == pytest.approx(0.6)
    assert row["minimum_until_us"] - row["opened_at_us"] == MINIMUM_PERIOD_SECONDS * 1_000_000
    assert row["closes_at_us"] - row["opened_at_us"] == VOTING_PERIOD_SECONDS * 1_000_000
    electors = [found["agent_id"] for found in lab.rows(tables.elector, proposal_id=proposal_id)]
    assert electors == lab.voters
    assert lab.types()[-1] == "PROPOSAL"
    assert lab.audit().ok


def test_unknown_parameter_is_refused(lab):
    assert isinstance(refusal(lab, parameter="research_synthesis.patience"), NotFoundError)


FIXED = "consensus.threshold_percent"


def test_what_restrains_the_loop_is_fixed(lab):
    for parameter in lab.platform.registry:
        if parameter.risk is Risk.FIXED:
            error = refusal(lab, parameter=parameter.name, to=parameter.low)
            assert (error.code, error.field) == ("parameter_fixed", "parameter"), parameter.name
    fixed = {parameter.name for parameter in lab.platform.registry if parameter.risk is Risk.FIXED}
    assert {FIXED, "consensus.minimum_ballots", "sandbox.alpha", "market.stake_percent"} <= fixed


ALIASES = (
    "Consensus.Threshold_Percent",
    "CONSENSUS.THRESHOLD_PERCENT",
    f" {FIXED}",
    f"{FIXED} ",
    f"{FIXED}\n",
    "consensus .threshold_percent",
    "consensus.threshold\u200b_percent",
    "c\u043ensensus.threshold_percent",  # a Cyrillic o
    "\uff43onsensus.threshold_percent",  # a full-width c
    "consensus/threshold_percent",
    "consensus.threshold_percent.value",
    "platform.consensus.threshold_percent",
    "consensus..threshold_percent",
    "consensus[threshold_percent]",
    f"{TIMEOUT},{FIXED}",
    "",
)


def test_no_other_spelling_reaches_a_fixed_parameter(lab):
    for alias in ALIASES:
        error = refusal(lab, parameter=alias, to="60")
        assert error.code in {"parameter_fixed", "parameter_unknown", "not_found"}, ascii(alias)


def test_what_governs_no_task_type_cannot_be_tried(lab):
    assert refusal(lab, parameter="market.bid_window_seconds", to="400").code == "parameter_untestable"


WRONG_VALUES = (
    ("0.0001", "value_out_of_bounds"),
    ("1e9", "value_not_a_number"),
    ("-90", "value_out_of_bounds"),
    ("NaN", "value_not_a_number"),
    ("Infinity", "value_not_a_number"),
    ("ninety", "value_not_a_number"),
    ("", "value_not_a_number"),
    ("180.1", "step_too_large"),
    ("44.9", "step_too_large"),
    ("90", "value_unchanged"),
    ("90.000", "value_unchanged"),
    ("９0", "value_not_a_number"),
)


def test_value_that_may_not_be_asked_for_is_refused(lab):
    for to, code in WRONG_VALUES:
        assert refusal(lab, to=to).code == code, to


@pytest.mark.parametrize("to", ["180", "180.0", "0180"])
def test_one_value_has_one_spelling(lab, to):
    assert lab.row(tables.proposal, id=lab.file(to=to))["to_value"] == "180"


def test_evidence_must_be_ended_tasks_of_the_parameters_own_type(lab):
    with_meta = lab.task(kind="meta", type_="investigation", state="settled", ended_at_us=lab.now_us)
    foreign = lab.ended_task(is_success=False, type_="monte_carlo")
    disguised = lab.ended_task(is_success=False, kind="meta")
    unended = lab.task(state="leased")
    good = lab.failing(2)
    for wrong in ((), (10**9,), (foreign,), (with_meta,), (disguised,), (unended,), (good[0], good[0])):
        assert refusal(lab, evidence=wrong).code == "evidence_unknown"
        if wrong:
            assert refusal(lab, evidence=(*good, *wrong)).code == "evidence_unknown"


WRONG_EFFECTS = (
    ("0", "effect_out_of_bounds"),
    ("-0.1", "effect_out_of_bounds"),
    ("1", "effect_out_of_bounds"),
    ("NaN", "effect_out_of_bounds"),
    ("Infinity", "effect_out_of_bounds"),
    ("a lot", "effect_out_of_bounds"),
    ("0.0000000001", "effect_out_of_bounds"),
    ("0." + "1" * 40, "effect_out_of_bounds"),
    ("0.41", "effect_too_large"),
    ("0.1", "admission_refused"),
    ("0.01", "confirmation_refused"),
)


def test_effect_that_cannot_be_shown_is_refused(lab):
    for effect, code in WRONG_EFFECTS:
        assert refusal(lab, expected_effect=effect).code == code, effect


def test_admission_names_the_tasks_that_are_needed(lab):
    error = refusal(lab, cap_tasks=10)
    assert error.code == "admission_refused"
    needed = error.arguments["needed_tasks"]
    assert 20 < needed < 200
    proposal_id = lab.file(cap_tasks=needed)
    assert lab.row(tables.proposal, id=proposal_id)["admission_tasks"] == needed


def test_admission_counts_what_the_traffic_brings(lab):
    lab.pass_seconds(23 * 3600)
    error = refusal(lab, cap_days=1, expected_effect="0.15")
    assert (error.code, error.field) == ("admission_refused", "body.cap_tasks")
    assert lab.file(cap_days=7, expected_effect="0.15")


def test_base_rate_is_of_recent_tasks_of_the_type_only(lab):
    lab.ended_tasks(300, successes_of_five=5, type_="monte_carlo")
    assert lab.row(tables.proposal, id=lab.file())["base_rate"] == pytest.approx(0.6)


def test_one_live_proposal_per_parameter(lab):
    first = lab.file()
    rival = lab.agent(Scope.PROPOSE)
    error = refusal(lab, rival, to="120")
    assert (error.code, error.arguments["proposal_id"]) == ("proposal_already_live", first)


def test_one_live_proposal_per_owner(lab):
    first = lab.agent(Scope.PROPOSE, owner="one")
    second = lab.agent(Scope.PROPOSE, owner="one")
    filed = lab.file(first)
    lab.ended_tasks(40, type_="monte_carlo")
    monte = tuple(row["id"] for row in lab.rows(tables.task, type="monte_carlo", state="failed")[:3])
    other = {"parameter": "monte_carlo.timeout_seconds", "evidence": monte}
    current = float(lab.value(other["parameter"]).value)
    error = refusal(lab, second, to=str(current * 1.5), **other)
    assert (error.code, error.arguments["proposal_id"]) == ("proposal_already_live", filed)
    assert lab.file(lab.agent(Scope.PROPOSE), to=str(current * 1.5), **other) > filed


def test_same_change_cools_off_after_it_was_rejected(lab):
    first = lab.file()
    for agent_id in lab.voters:
        lab.cast(first, agent_id, BallotChoice.AGAINST, "no")
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(first) == "rejected"
    for to in ("180", "180.00", "0180"):
        error = refusal(lab, lab.agent(Scope.PROPOSE), to=to)
        assert (error.code, error.arguments["proposal_id"]) == ("resubmission_cool_off", first)
    assert lab.file(to="170") > first


def test_same_change_may_be_asked_again_after_the_cool_off(lab):
    first = lab.file()
    lab.pass_seconds(VOTING_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(first) == "inquorate"
    lab.pass_seconds(WEEK_SECONDS - 1)
    lab.ended_tasks(60)
    assert refusal(lab).code == "resubmission_cool_off"
    lab.pass_seconds(2)
    assert lab.file() > first


def test_what_nobody_refused_cools_off_for_its_own_owner_alone(lab):
    """Withdrawn, or passed and never started: others may ask at once; where silence was a no, nobody may."""
    first = lab.file()
    with lab.write(f"agent:{lab.proposer}") as tx:
        proposal_system.withdraw(tx, proposal_id=first, agent_id=lab.proposer)
    assert refusal(lab, scope=ExperimentScope.AGENT).code == "resubmission_cool_off"
    second = lab.passed(proposer=lab.agent(Scope.PROPOSE))
    lab.pass_seconds(DAY_SECONDS + 1)
    lab.tally()
    assert lab.state(second) == "expired"
    lab.ended_tasks(60)
    gated = lab.passed(parameter=GATED, to="3", proposer=lab.agent(Scope.PROPOSE))
    assert lab.file(lab.agent(Scope.PROPOSE)) > gated
    lab.pass_seconds(3 * DAY_SECONDS)
    lab.tally()
    assert lab.state(gated) == "expired"
    lab.ended_tasks(60)
    assert refusal(lab, lab.agent(Scope.PROPOSE), parameter=GATED, to="3").code == "resubmission_cool_off"


def test_an_owner_files_so_many_a_day(lab):
    """Every agent of the owner counts; the refusal says when the next filing is possible."""
    with lab.write("operator") as tx:
        wanted = overrides.Wanted("consensus.filings_per_day", "3")
        overrides.set_parameter(tx, lab.platform.registry, wanted, reason="a test")
    same = [lab.agent(Scope.PROPOSE, owner="acme") for _ in range(2)]
    began_us = lab.now_us
    for number in range(3):
        agent_id = same[number % 2]
        filed = lab.file(agent_id, to=str(150 + number))
        with lab.write(f"agent:{agent_id}") as tx:
            proposal_system.withdraw(tx, proposal_id=filed, agent_id=agent_id)
        lab.pass_seconds(60)
    error = refusal(lab, same[1], to="170")
    assert isinstance(error, ConflictError)
    assert error.code == "filings_exhausted"
    assert error.arguments["possible_at"] == to_rfc3339(began_us + DAY_US)
    other = lab.file(lab.agent(Scope.PROPOSE), to="170")
    with lab.write("operator") as tx:
        sql.update(tx, tables.proposal, {"id": other}, state="rejected", ended_at_us=lab.now_us)
    lab.pass_seconds(DAY_SECONDS - 3 * 60)
    lab.ended_tasks(60)
    assert lab.file(same[1], to="175") > other


def test_suspended_agent_cannot_file(lab):
    with lab.write("operator") as tx:
        sql.update(tx, tables.agent, {"id": lab.proposer}, standing="suspended")
    assert isinstance(refusal(lab), ForbiddenError)


def investigation(lab, agent_id, **values):
    return lab.task(
        kind="meta", type_="investigation", **{"state": "leased", "awarded_agent_id": agent_id, **values}
    )


def test_proposal_joins_the_lap_of_its_own_investigation(lab):
    with lab.write() as tx:
        lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    task_id = investigation(lab, lab.proposer, lap_id=lap_id)
    proposal_id = lab.file(meta_task_id=task_id)
    assert lab.row(tables.proposal, id=proposal_id)["lap_id"] == lap_id
    assert lab.row(tables.ledger_entry, type="PROPOSAL")["lap_id"] == lap_id


def test_foreign_ended_and_unknown_investigations_are_refused(lab):
    foreign = investigation(lab, lab.voters[0])
    ended = investigation(lab, lab.proposer, state="failed", ended_at_us=lab.now_us)
    for task_id in (foreign, ended, 10**9):
        assert refusal(lab, meta_task_id=task_id).code == "meta_task_unknown"


def test_own_user_task_is_no_investigation_that_a_promotion_could_pay_for(lab):
    task_id = lab.task(state="submitted", awarded_agent_id=lab.proposer)
    assert refusal(lab, meta_task_id=task_id).code == "meta_task_unknown"


def race(*acts):
    """Run the acts at once in threads; return their results or the errors they raised."""
    results = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(place, act):
        start.wait()
        try:
            results[place] = act()
        except NacreError as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_racing_proposals_on_one_parameter_leave_exactly_one(lab):
    agents = [lab.agent(Scope.PROPOSE) for _ in range(4)]
    acts = [lambda agent_id=agent_id, to=to: lab.file(agent_id, to=to)
            for agent_id, to in zip(agents, ("180", "170", "160", "150"), strict=True)]  # fmt: skip
    results = race(*acts)
    refused = [found for found in results if isinstance(found, NacreError)]
    assert len(lab.rows(tables.proposal)) == 1
    assert [(type(found), found.code) for found in refused] == [(ConflictError, "proposal_already_live")] * 3


def test_racing_proposals_of_one_owner_leave_exactly_one(lab):
    agents = [lab.agent(Scope.PROPOSE, owner="one") for _ in range(2)]
    lab.ended_tasks(40, type_="monte_carlo")
    monte = tuple(row["id"] for row in lab.rows(tables.task, type="monte_carlo", state="failed")[:3])
    to = str(float(lab.value("monte_carlo.timeout_seconds").value) * 1.5)
    results = race(
        lambda: lab.file(agents[0]),
        lambda: lab.file(agents[1], parameter="monte_carlo.timeout_seconds", to=to, evidence=monte),
    )
    assert [found.code for found in results if isinstance(found, Exception)] == ["proposal_already_live"]


def test_proposal_can_be_withdrawn_before_its_first_ballot(lab):
    proposal_id = lab.file()
    with pytest.raises(ForbiddenError), lab.write() as tx:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=lab.voters[0])
    with lab.write(f"agent:{lab.proposer}") as tx:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=lab.proposer)
    assert lab.state(proposal_id) == "withdrawn"
    assert lab.types()[-1] == "WITHDRAWN"
    with pytest.raises(ConflictError), lab.write() as tx:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=lab.proposer)
    assert lab.audit().ok


def test_proposal_with_a_ballot_stays(lab):
    proposal_id = lab.file()
    lab.cast(proposal_id, lab.voters[0])
    with pytest.raises(ConflictError), lab.write() as tx:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=lab.proposer)
    assert lab.state(proposal_id) == "open"


def test_withdrawing_closes_its_investigation_and_lap(lab):
    with lab.write() as tx:
        lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    task_id = investigation(lab, lab.proposer, lap_id=lap_id)
    own = accounts.agent_account(lab.proposer)
    with lab.write() as tx:
        books = accounts.open_books(tx, [own])
        for purpose, number, source in (("reserve", 0, accounts.TREASURY), ("stake", 1, own)):
            books.hold(
                task_id=task_id, purpose=purpose, attempt_number=number, source=source, amount_microcredits=5
            )
        books.write()
    proposal_id = lab.file(meta_task_id=task_id)
    with lab.write() as tx:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=lab.proposer)
    lab.deliver()
    assert lab.row(tables.lap, id=lap_id)["outcome"] == "withdrawn"
    assert lab.row(tables.task, id=task_id)["end_reason"] == EndReason.CANCELLED
