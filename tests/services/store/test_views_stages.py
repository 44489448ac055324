"""What a lap says of a promotion after its trial: in probation, confirmed, rolled back, or refused."""

import pytest

from services.domain.ledger_schema import EntryType
from services.store.views.stages import LapFacts, derive_stages
from tests.app.web.sample_evidence import wealth
from tests.app.web.sample_experiments import sample_experiment

AT = "2026-11-03T03:06:00.000000Z"
PROPOSAL = {
    "proposal_id": 4, "parameter": "p.timeout_seconds", "from": "0.9", "to": "1.8", "proposer_id": 5,
    "yes": 4, "no": 1, "abstain": 0, "electorate": 6, "state": "promoted", "opened_at": AT, "decided_at": AT,
}  # fmt: skip


def entry(index, kind, **payload):
    return {"index": index, "type": kind, "at": AT, "payload": payload}


VERDICT = entry(18, EntryType.VERDICT, leg="trial")
PROMOTED = entry(19, EntryType.PROMOTED)


def stages(*entries, state="probation", experiment=None, closed_at=None):
    run = experiment or {**sample_experiment(wealth(), is_running=False), "state": state}
    facts = LapFacts(closed_at, None, None, PROPOSAL, run, [VERDICT, *entries])
    return {stage["name"]: stage for stage in derive_stages(facts)}


def test_a_promotion_in_probation_says_how_far_it_is_and_until_when():
    detail = stages(PROMOTED)["promote"]["detail"]
    assert detail.startswith("p.timeout_seconds is now 1.8; in probation: E = ")
    assert " of 746 after 40 tasks, until " in detail


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ([entry(30, EntryType.CONFIRMED)], "p.timeout_seconds is now 1.8; confirmed by entry 30"),
        (
            [entry(31, EntryType.ROLLED_BACK, reason="not confirmed in probation: harm shown")],
            "promoted, and rolled back by entry 31: not confirmed in probation: harm shown",
        ),
        (
            [entry(30, EntryType.CONFIRMED), entry(32, EntryType.RECOVERED)],
            "p.timeout_seconds is now 1.8; confirmed by entry 30; recovery recorded as entry 32",
        ),
    ],
)
def test_the_end_of_a_probation_is_told(ends, said):
    state = "rolled_back" if ends[0]["type"] == EntryType.ROLLED_BACK else "confirmed"
    shown = stages(PROMOTED, *ends, state=state)["promote"]
    assert (shown["state"], shown["detail"], shown["ref"]) == ("done", said, {"kind": "entry", "id": 19})


def test_the_verdict_of_the_probation_does_not_replace_that_of_the_trial():
    later = entry(29, EntryType.VERDICT, leg="probation")
    assert stages(PROMOTED, later, state="confirmed")["learn"]["ref"]["id"] == 18


def test_a_win_that_was_refused_says_why():
    refused = entry(20, EntryType.REFUSED, reason="promotion is frozen: 5 of 12 placebos won")
    shown = stages(refused, state="refused")["promote"]
    assert shown["state"] == "failed"
    assert shown["detail"] == "refused although it won: promotion is frozen: 5 of 12 placebos won"


def test_the_experiment_ended_when_its_trial_did():
    assert (
        stages(PROMOTED)["experiment"]["at"]
        == sample_experiment(wealth(), is_running=False)["trial"]["ended_at"]
    )
