"""Speed and cost: decided by ranks, failures the worst, success guarded and proved before confirmation."""

import math
import random

from services.domain.bet import BetPlan
from services.domain.ledger_records import read_records
from services.domain.states import Leg
from services.store import tables

RESERVE = 1
WAIT_SECONDS = 3600.0


def quicker(arm, rng):
    """The new value takes half the time; most succeed either way."""
    return rng.random() < 0.85, rng.uniform(1, 10) * (0.5 if arm else 1.0), None


def cheaper(arm, rng):
    """The new value halves the price; most succeed either way."""
    return rng.random() < 0.9, 1.0, int(rng.uniform(100, 1000) * (0.5 if arm else 1.0))


def hasty(arm, rng):
    """The new value is very quick and fails far more often."""
    if arm:
        return rng.random() < 0.6, rng.uniform(0.1, 0.2), None
    return rng.random() < 0.98, rng.uniform(50, 60), None


def run(lab, experiment_id, measure, *, at_most, batch=10, seed=3):
    """Work until the leg that runs is decided; return the experiment."""
    rng = random.Random(seed)
    running = lab.experiment(experiment_id)["state"]
    for _ in range(0, at_most, batch):
        lab.measured(batch, measure, rng)
        if lab.experiment(experiment_id)["state"] != running:
            break
    return lab.experiment(experiment_id)


def certified(lab, experiment_id, leg=Leg.TRIAL):
    """Return the records in the certificate of an ended leg."""
    row = lab.probation(experiment_id) if leg is Leg.PROBATION else lab.experiment(experiment_id)
    kept = lab.row(tables.blob, sha256=row["records_sha256"])
    return read_records(bytes(kept["content"]))[1]


def margin(value):
    return (("task_success", value),)


def test_a_quicker_value_wins_by_ranks_and_failures_are_the_slowest(lab):
    experiment_id = lab.running(metric="task_duration", guardrails=margin("0.3"), cap_tasks=600)
    plan = BetPlan.from_payload(lab.experiment(experiment_id)["plan"])
    assert (plan.metric, plan.base_rate) == ("task_duration", None)
    assert [(g.metric, g.margin) for g in plan.guardrails] == [("task_success", 0.3)]
    found = run(lab, experiment_id, quicker, at_most=600)
    assert (found["verdict"], found["state"]) == ("win", "provisional")
    exposures = lab.exposures(experiment_id)
    records = certified(lab, experiment_id)
    failures = 0
    for row, record in zip(exposures, records, strict=False):
        task = lab.row(tables.task, id=row["task_id"])
        took = (task["ended_at_us"] - row["assigned_at_us"]) / 1e6
        is_success = task["state"] == "settled"
        failures += not is_success
        assert record.outcome == (took if is_success else WAIT_SECONDS)
        assert record.guardrails == (1.0 if is_success else 0.0,)
    assert failures > 1
    lab.deliver()
    assert lab.value().value == "180"
    assert lab.audit().ok, lab.audit().reason


def test_a_cheaper_value_wins_and_failures_cost_their_reserve(lab):
    experiment_id = lab.running(metric="task_cost", guardrails=margin("0.3"), cap_tasks=600)
    with lab.write() as tx:
        assigned = [lab.award(tx, reserve_price_microcredits=5_000)[0] for _ in range(2)]
    lab.end_many(dict.fromkeys(assigned, False))
    found = run(lab, experiment_id, cheaper, at_most=600)
    assert (found["verdict"], found["state"]) == ("win", "provisional")
    records = certified(lab, experiment_id)
    assert [record.outcome for record in records[:2]] == [5_000.0, 5_000.0]
    for row, record in list(zip(lab.exposures(experiment_id), records, strict=False))[2:]:
        task = lab.row(tables.task, id=row["task_id"])
        price = lab.row(tables.award, task_id=row["task_id"])["price_microcredits"]
        assert record.outcome == (price if task["state"] == "settled" else RESERVE)
    lab.deliver()
    assert lab.audit().ok, lab.audit().reason


def test_what_is_slower_does_not_win(lab):
    def slower(arm, rng):
        return quicker(1 - arm, rng)

    experiment_id = lab.running(metric="task_duration", guardrails=margin("0.3"), cap_tasks=600)
    found = run(lab, experiment_id, slower, at_most=600)
    assert found["verdict"] in ("loss", "inconclusive")
    lab.deliver()
    assert lab.value().value == "90"


def test_harm_to_a_guardrail_aborts_what_is_quicker(lab):
    experiment_id = lab.running(metric="task_duration", expected_effect="0.1", cap_tasks=5_000, cap_days=60)
    found = run(lab, experiment_id, hasty, at_most=800)
    assert (found["state"], found["verdict"]) == ("aborted", "loss")
    assert found["reason"] == "harm shown in guardrail task_success"
    assert lab.bet(experiment_id).harm_log < math.log(20), "the primary shows none"
    lab.deliver()
    assert lab.types()[-2:] == ["VERDICT", "REFUSED"]
    assert lab.audit().ok, lab.audit().reason


def test_a_guardrail_of_success_aborts_what_succeeds_more_and_costs_far_too_much(lab):
    """The guardrail of a success experiment is its cost, winsorised at the ceiling fixed at the start."""
    rng = random.Random(9)
    lab.running_costs = [lab.ended_task(is_success=True, awarded_at_us=lab.now_us) for _ in range(40)]
    with lab.write() as tx:
        for task_id in lab.running_costs:
            tx.connection.execute(
                tables.award.insert().values(
                    task_id=task_id, attempt_number=1, agent_id=lab.proposer, rule="planted", seed="",
                    price_microcredits=1_000 + rng.randrange(100), stake_microcredits=0, inputs={},
                    awarded_at_us=tx.now_us,
                )
            )  # fmt: skip
    experiment_id = lab.running(expected_effect="0.1", cap_tasks=3_000, cap_days=60,
                                guardrails=(("task_cost", "0.1"),))  # fmt: skip
    [guardrail] = BetPlan.from_payload(lab.experiment(experiment_id)["plan"]).guardrails
    assert 1_000 <= guardrail.ceiling <= 1_100

    def dearer(arm, rng):
        return rng.random() < (0.85 if arm else 0.8), 1.0, rng.randrange(*((900, 1000) if arm else (1, 300)))

    found = run(lab, experiment_id, dearer, at_most=600)
    assert (found["state"], found["reason"]) == ("aborted", "harm shown in guardrail task_cost")


def test_confirmation_waits_until_the_guardrail_is_proved(lab):
    experiment_id = lab.running(metric="task_duration", guardrails=margin("0.15"), cap_tasks=600)
    run(lab, experiment_id, quicker, at_most=600)
    assert lab.bet(experiment_id).guardrails[0].proof_log < math.log(20), "a trial needs no proof to win"
    carried = lab.bet(experiment_id).guardrails[0].proof_log
    lab.deliver()
    assert lab.bet(experiment_id, Leg.PROBATION).guardrails[0].proof_log == carried
    found = run(lab, experiment_id, quicker, at_most=2_000, batch=5, seed=5)
    row, state = lab.probation(experiment_id), lab.bet(experiment_id, Leg.PROBATION)
    assert (found["state"], row["verdict"]) == ("confirmed", "win")
    assert state.guardrails[0].proof_log >= math.log(20)
    threshold = -math.log(found["confirm_alpha"])
    later = lab.exposures(experiment_id)[row["first_ordinal"] :][: state.next_ordinal]
    assert sum(exposure["log_e"] >= threshold for exposure in later[20:]) > 5, "only the proof was missing"
    lab.deliver()
    assert lab.types()[-1] == "CONFIRMED"
    assert lab.payloads("VERDICT")[-1]["leg"] == "probation"
    assert lab.audit().ok, lab.audit().reason
