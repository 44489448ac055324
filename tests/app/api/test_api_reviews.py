"""What voters and reviewers see over HTTP: a proposal's terms, the gate bound to a hash, voters' records."""

import hashlib
import json

import pytest
import sqlalchemy
from starlette.testclient import TestClient

from app.api import vote_examples
from app.api.application import build_api
from services import proposal_system
from services.domain.canonical import canonical_bytes
from services.domain.states import BallotChoice
from services.domain.tally import TallyOutcome, tally
from services.evolution_ledger import erasing
from services.store import tables
from services.store.views.proposals import needs
from tests.app.api.conftest import Api
from tests.services.laboratory import MINIMUM_PERIOD_SECONDS, TYPE, Laboratory

GATED = f"{TYPE}.maximum_attempts"


class Voted:
    """A laboratory with a GATED proposal that passed its vote, and the API over it."""

    def __init__(self, platform):
        self.lab = Laboratory(platform).set_up()
        client = TestClient(build_api(platform), raise_server_exceptions=False)
        key = platform.settings.operator_key
        self.operator = Api(client, key)
        body = {"name": "eve", "owner": "eve", "scopes": ["bid"], "vouched": True}
        self.eve = Api(client, self.operator.post("/agents", body).json()["api_key"])

    def gate(self):
        lab = self.lab
        proposal_id = lab.file(parameter=GATED, to="3")
        for place, voter in enumerate(lab.voters[:5]):
            choice = BallotChoice.AGAINST if place == 4 else BallotChoice.FOR
            lab.cast(proposal_id, voter, choice, f"reason {place}", forecast=70 + place)
        lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
        lab.tally()
        return proposal_id

    def decide(self, proposal_id, api=None, **changes):
        shown = self.operator.get(f"/reviews/{proposal_id}").json().get("shown_sha256", "0" * 64)
        said = {"decision": "approve", "shown_sha256": shown, "reviewer": "Ida", "reason": "seen", **changes}
        return (api or self.operator).post(f"/reviews/{proposal_id}/decision", said)


@pytest.fixture
def voted(platform):
    return Voted(platform)


def test_a_proposal_shows_what_a_voter_must_see(voted):
    lab = voted.lab
    proposal_id = lab.file(cap_days=5)
    lab.cast(proposal_id, lab.voters[0], BallotChoice.AGAINST, "too slow", forecast=20)
    told = voted.eve.get(f"/proposals/{proposal_id}").json()
    assert list(told) == list(vote_examples.PROPOSAL_LIFE)
    row = lab.row(tables.proposal, id=proposal_id)
    assert (told["risk"], told["electorate_mode"], told["rules"]) == ("open", "agent", row["rules"])
    assert told["inverse"] == {"parameter": told["parameter"], "from": "180", "to": told["from"]}
    assert told["conflicts"] == [{"agent_id": lab.proposer, "reason": "proposer"}]
    units = [(one["agent_id"], one["unit"]) for one in told["electors"]]
    assert units == [(voter, f"agent:{voter}") for voter in lab.voters]
    assert told["need"] == {"early": 4, "at_close": 2}
    admission = told["admission"]
    assert admission["units_per_day"] == row["units_per_day"] > 0
    assert admission["expected_days"] == pytest.approx(row["admission_tasks"] / row["units_per_day"])
    assert admission["expected_seconds"] == pytest.approx(86_400 * admission["expected_days"])
    assert (admission["needed_tasks"], admission["cap_days"]) == (row["admission_tasks"], 5)
    assert (told["extended_from"], told["review"], told["ballots"][0]["unit"]) == (None, None, units[0][1])


def test_an_erased_text_is_shown_as_erased(voted):
    lab = voted.lab
    proposal_id = lab.file()
    lab.cast(proposal_id, lab.voters[0], BallotChoice.FOR, "my name is Bob")
    lab.cast(proposal_id, lab.voters[1], BallotChoice.FOR)
    for text in (b"my name is Bob", b"they time out"):
        with lab.write("operator") as tx:
            erasing.erase_blob(tx, hashlib.sha256(text).hexdigest(), "asked for")
    told = voted.eve.get(f"/proposals/{proposal_id}").json()
    assert told["root_cause"] == "[erased]"
    assert [ballot["reason"] for ballot in told["ballots"]] == ["[erased]", ""]


def kept_in(lab, said):
    """Every column of every table that holds a text: (table, column)."""
    found = set()
    with lab.read() as tx:
        for table in sqlalchemy.inspect(tx.connection).get_table_names():
            for row in tx.connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"')).mappings():
                for name, value in row.items():
                    is_bytes = isinstance(value, bytes | memoryview)
                    shown = bytes(value).decode(errors="replace") if is_bytes else value
                    shown = shown if isinstance(shown, str) else json.dumps(shown, default=str)
                    if said in shown:
                        found.add((table, name))
    return found


def test_an_erased_text_is_in_no_column_of_any_table(voted):
    lab, operator = voted.lab, voted.operator
    assert operator.post("/webhooks", {"url": "https://8.8.8.8/hook", "types": ["*"]}).status_code == 201
    body = {"name": "pam", "owner": "pam", "scopes": ["propose"], "vouched": True}
    pam = Api(operator.client, operator.post("/agents", body).json()["api_key"])
    secret = "Jane-Doe is slow: 100% \\ of her"
    filing = {"parameter": GATED, "to": "3", "expected_effect": "0.25", "root_cause": secret + ' "cause"',
              "evidence": list(lab.failing()), "cap_tasks": 400, "cap_days": 7}  # fmt: skip
    proposal_id = pam.post("/proposals", filing, key="once").json()["proposal_id"]
    for voter in lab.voters[:4]:
        lab.cast(proposal_id, voter, BallotChoice.FOR, f"{secret} reason")
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert voted.decide(proposal_id, decision="refuse", reason=f"{secret} refusal").status_code == 200
    lab.deliver()
    said = [f'{secret} "cause"', f"{secret} reason", f"{secret} refusal"]
    assert ("idempotency", "body") in kept_in(lab, "Jane-Doe")
    for one in said:
        with lab.write("operator") as tx:
            erasing.erase_blob(tx, hashlib.sha256(one.encode()).hexdigest(), "asked for")
    assert kept_in(lab, "Jane-Doe") == set()
    replayed = pam.post("/proposals", filing, key="once")
    assert (replayed.status_code, replayed.json()["root_cause"]) == (201, "[erased]")
    assert replayed.json()["proposal_id"] == proposal_id


def test_a_person_decides_once_on_exactly_what_was_shown(voted, problem_of):
    open_id = voted.lab.file()
    problem_of(voted.decide(open_id), 404, "review_missing")
    with voted.lab.write(f"agent:{voted.lab.proposer}") as tx:
        proposal_system.withdraw(tx, proposal_id=open_id, agent_id=voted.lab.proposer)
    proposal_id = voted.gate()
    (listed,) = voted.operator.get("/reviews", state="pending").json()["items"]
    shown = voted.eve.get(f"/reviews/{proposal_id}").json()
    assert list(listed) == list(vote_examples.REVIEW)
    assert list(shown) == list(vote_examples.REVIEW_LIFE)
    assert sorted(shown["shown"]) == sorted(vote_examples.SHOWN)
    assert hashlib.sha256(canonical_bytes(shown["shown"])).hexdigest() == shown["shown_sha256"]
    assert [one["reason"] for one in shown["shown"]["ballots"]] == [f"reason {n}" for n in range(5)]
    told = voted.operator.get(f"/proposals/{proposal_id}").json()
    assert (told["state"], told["review"]["shown_sha256"]) == ("review", shown["shown_sha256"])
    for status, code, changes in (
        (409, "review_changed", {"shown_sha256": "0" * 64}),
        (403, "reviewer_proposed", {"reviewer": "Agent_1"}),
        (422, "reason_missing", {"reason": "  "}),
        (422, "validation_failed", {"decision": "yes"}),
        (422, "validation_failed", {"reviewer": ""}),
        (403, "forbidden", {"api": voted.eve}),
    ):
        problem_of(voted.decide(proposal_id, **changes), status, code)
    said = {"decision": "approve", "shown_sha256": shown["shown_sha256"], "reviewer": "Ida", "reason": "seen"}
    path = f"/reviews/{proposal_id}/decision"
    first, again = (voted.operator.post(path, said, key="once") for _ in range(2))
    assert first.json() == again.json() == {"proposal_id": proposal_id, "decision": "approved"}
    assert again.headers["Idempotent-Replayed"] == "true"
    problem_of(voted.decide(proposal_id, decision="refuse"), 409, "review_decided")
    decided = voted.operator.get(f"/reviews/{proposal_id}").json()
    assert (decided["state"], decided["reviewer"], decided["seconds_left"]) == ("approved", "Ida", None)
    assert voted.lab.audit().ok


def test_silence_is_a_no_and_says_so(voted, problem_of):
    proposal_id = voted.gate()
    left = voted.operator.get(f"/reviews/{proposal_id}").json()["seconds_left"]
    voted.lab.pass_seconds(left)
    problem_of(voted.decide(proposal_id), 409, "review_expired")
    voted.lab.tally()
    assert voted.operator.get("/reviews", state="expired").json()["items"][0]["proposal_id"] == proposal_id


def test_a_voters_record_is_told_from_its_ballots(voted):
    lab = voted.lab
    won = lab.file()
    for voter in lab.voters[:4]:
        lab.cast(won, voter, forecast=80)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    lab.deliver()
    assert lab.run_experiment(lab.row(tables.experiment)["id"])["verdict"] == "win"
    lab.deliver()
    ballots = {row["agent_id"]: row for row in lab.rows(tables.ballot, proposal_id=won)}
    listed = voted.eve.get("/voters", limit=500).json()["items"]
    assert {one["agent_id"] for one in listed} == set(lab.voters)
    assert list(listed[0]) == list(vote_examples.VOTER)
    voter = next(iter(ballots))
    told = voted.eve.get(f"/voters/{voter}").json()
    assert list(told) == list(vote_examples.VOTER_LIFE)
    assert (told["eligible"], told["cast"], told["participation"]) == (1, 1, 1.0)
    assert told["sides"] == {"for_won": 1, "for_lost": 0, "against_won": 0, "against_lost": 0}
    assert told["brier"] == ballots[voter]["brier"] == pytest.approx(0.04)
    assert (told["base_rate"], told["ballots"][0]["has_won"]) == (1.0, True)
    silent = next(one for one in lab.voters if one not in ballots)
    told = voted.eve.get(f"/voters/{silent}").json()
    assert (told["eligible"], told["cast"], told["summary"]) == (1, 0, "none scored yet")
    assert voted.eve.get("/voters/999999").status_code == 404


def test_the_need_is_the_smallest_tally_that_carries():
    for electorate in range(7):
        for percent in (1, 34, 50, 51, 67, 99, 100):
            for no in range(electorate + 1):
                for abstain in range(electorate - no + 1):
                    rules = {"threshold_percent": percent, "minimum_ballots": 3}
                    found = needs(electorate=electorate, no=no, abstain=abstain, rules=rules)
                    for name, is_closed in (("early", False), ("at_close", True)):
                        carries = [
                            yes
                            for yes in range(electorate - no - abstain + 1)
                            if tally(
                                electorate=electorate, yes=yes, no=no, abstain=abstain,
                                is_closed=is_closed, **rules,
                            ) is TallyOutcome.PASSED
                        ]  # fmt: skip
                        assert found[name] == (carries[0] if carries else None), (electorate, no, abstain)
