"""Experiments with both legs, certificates, and the sandbox as an instrument, over HTTP."""

from decimal import Decimal

import pytest

from app.api import experiment_examples as examples
from services import ab_sandbox
from services.domain.certificate import read_certificate, verify_certificate
from services.store import sql, tables
from tests.app.api.conftest import world_over
from tests.services.laboratory import Laboratory

CHANGE = {
    "parameter": "research_synthesis.timeout_seconds",
    "to": "180",
    "expected_effect": "0.25",
    "root_cause": "a third of the tasks time out",
    "cap_tasks": 400,
    "cap_days": 7,
}


@pytest.fixture
def past(history):
    """The API over a sandbox with a history."""
    made = world_over(history.url, history.folder)
    yield made
    made.platform.close()


def shape(value):
    """Return the keys of a JSON value at every depth; of a list its first item's."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def differing(real, example, where=""):
    """Return where two shapes have different keys, wherever both say something."""
    if isinstance(real, dict) and isinstance(example, dict):
        found = [f"{where}.{name}" for name in real.keys() ^ example.keys()]
        for name in real.keys() & example.keys():
            found += differing(real[name], example[name], f"{where}.{name}")
        return found
    if isinstance(real, list) and isinstance(example, list) and real and example:
        return differing(real[0], example[0], f"{where}[]")
    return []


def test_the_examples_have_the_shapes_of_the_answers(past, history):
    number = history.ids["ranked"]
    shown = past.operator.get(f"/experiments/{number}").json()
    listed = past.operator.get("/experiments").json()["items"][0]
    certificate = past.operator.get(f"/experiments/{number}/certificate").json()
    state = past.operator.get("/sandbox").json()
    free = {".plan", ".stream.states", ".entries[].payload"}
    pairs = [
        (shown, examples.EXPERIMENT_LIFE), (listed, examples.EXPERIMENT), (state, examples.SANDBOX),
        (certificate, examples.CERTIFICATE),
    ]  # fmt: skip
    for real, example in pairs:
        found = differing(shape(real), shape(example))
        assert [where for where in found if not any(where.startswith(name) for name in free)] == []


def test_both_legs_are_shown_with_their_levels_limits_and_guardrails(past, history):
    found = past.operator.get(f"/experiments/{history.ids['ranked']}").json()
    trial, probation = found["trial"], found["probation"]
    assert (found["state"], found["metric"], found["scope"]) == ("confirmed", "task_duration", "task")
    assert (trial["verdict"], trial["threshold"]) == ("win", 20.0)
    assert (probation["verdict"], probation["alpha"]) == ("win", found["confirm_alpha"])
    assert probation["e_value"] >= probation["threshold"] == pytest.approx(found["confirm_threshold"])
    assert [row["metric"] for row in probation["guardrails"]] == ["task_success"]
    assert probation["guardrails"][0]["proof_e"] >= 20
    assert (found["stream_position"], found["power"]["effect"]) == (3, 0.4)
    assert found["control"] == trial["control"]
    path = found["path"]
    assert [point["ordinal"] for point in path] == sorted(point["ordinal"] for point in path)
    for leg in (trial, probation):
        mine = [point for point in path if point["leg"] == leg["leg"]]
        for arm, name in enumerate(("control", "treatment")):
            assert leg[name]["resolved"] == sum(point["arm"] == arm for point in mine)
        assert mine[-1]["log_e"] == pytest.approx(leg["log_e"])
        assert leg["units"] == len(mine)
    assert {point["share"] for point in path if point["leg"] == "probation"} == {0.85}


def test_a_salt_is_shown_with_the_verdict_of_its_leg_and_not_before(past, history):
    waits = past.operator.get(f"/experiments/{history.ids['probation']}").json()
    assert (len(waits["trial"]["salt"]), waits["probation"]["salt"]) == (64, None)
    assert past.operator.get(f"/experiments/{history.ids['running']}").json()["trial"]["salt"] is None
    ended = past.operator.get(f"/experiments/{history.ids['rolled_back']}").json()
    assert len({ended["trial"]["salt"], ended["probation"]["salt"]}) == 2


def test_placebos_are_a_kind_of_their_own(past, history, problem_of):
    placebos = past.operator.get("/experiments", kind="placebo").json()["items"]
    assert history.ids["placebo"] in {item["experiment_id"] for item in placebos}
    assert {item["kind"] for item in placebos} == {"placebo"}
    assert {item["proposal_id"] for item in placebos} == {None}
    changes = past.operator.get("/experiments").json()["items"]
    assert {item["kind"] for item in changes} == {"change"}
    problem_of(past.operator.get("/experiments", kind="other"), 422, "validation_failed")


def test_a_certificate_over_http_verifies(past, history, problem_of):
    for name in ("confirmed", "futile", "placebo"):
        content = past.operator.get(f"/experiments/{history.ids[name]}/certificate").json()
        assert verify_certificate(read_certificate(content)).difference is None
    running = past.operator.get(f"/experiments/{history.ids['running']}/certificate")
    assert problem_of(running, 409, "verdict_missing")["state"] == "running"
    problem_of(past.operator.get("/experiments/999/certificate"), 404, "not_found")


def test_the_sandbox_tells_what_runs_by_layer_and_the_next_level(past, history):
    state = past.operator.get("/sandbox").json()
    layers = {layer["layer"]: layer["experiments"] for layer in state["layers"]}
    assert [row["experiment_id"] for row in layers["research_synthesis"]] == [
        history.ids["probation"],
        history.ids["running"],
    ]
    assert layers["placebo"][0]["experiment_id"] == state["placebos"]["running"]["experiment_id"]
    assert (state["stream"]["started"], state["stream"]["confirmed"]) == (8, 2)
    assert state["stream"]["next_position"] == 9
    assert 0 < state["stream"]["next_alpha"] < 0.05
    assert (state["placebos"]["ended"], state["placebos"]["wins"]) == (1, 0)


def test_an_empty_sandbox_answers_on_both_engines(world):
    state = world.operator.get("/sandbox").json()
    assert state["placebos"] == {
        "ended": 0, "invalid": 0, "wins": 0, "rate": None, "lower": 0.0, "upper": 1.0, "mean_e": None,
        "counted_since": None, "excess_e": 1.0, "freeze_e": 100.0, "running": None,
    }  # fmt: skip
    assert (state["freeze"], state["layers"]) == (None, [])
    assert state["holdout"]["difference"] is None
    assert state["stream"]["next_position"] == 1


def test_the_holdout_is_compared_by_task_type_on_both_engines(world):
    lab = Laboratory(world.platform).set_up()
    shares = {True: (30, 12), False: (300, 240)}
    with lab.write() as tx:
        for is_holdout, (tasks, successes) in shares.items():
            for number in range(tasks):
                lab.plant(
                    tx, state="settled" if number < successes else "failed", is_holdout=is_holdout,
                    awarded_at_us=tx.now_us, ended_at_us=tx.now_us,
                )  # fmt: skip
    held = world.operator.get("/sandbox").json()["holdout"]
    assert held["holdout"] == {"tasks": 30, "successes": 12, "rate": 0.4}
    assert held["rest"] == {"tasks": 300, "successes": 240, "rate": 0.8}
    assert held["difference"] == pytest.approx(0.4)
    assert held["lower"] < 0.4 < held["upper"]
    assert [row["task_type"] for row in held["task_types"]] == ["research_synthesis"]


def test_a_placebo_runs_and_is_counted_on_both_engines(world):
    with world.platform.store.write(actor="system:test") as tx:
        number = ab_sandbox.start_placebo(tx, world.platform.context.entropy)
    state = world.operator.get("/sandbox").json()
    assert state["placebos"]["running"]["experiment_id"] == number
    with world.platform.store.write(actor="system:test") as tx:
        values = {"state": "refused", "verdict": "win", "ended_at_us": tx.now_us}
        sql.update(tx, tables.experiment, {"id": number}, **values)
    state = world.operator.get("/sandbox").json()["placebos"]
    assert (state["ended"], state["wins"], state["rate"], state["mean_e"]) == (1, 1, 1.0, 1.0)
    assert state["excess_e"] > 1


def test_only_the_operator_lifts_a_freeze_once_with_a_reason(world, problem_of):
    agent = world.agent("agent")
    problem_of(agent.post("/sandbox/unfreeze", {"reason": "why not"}), 403, "forbidden")
    problem_of(world.operator.post("/sandbox/unfreeze", {"reason": "why not"}), 409, "not_frozen")
    problem_of(world.operator.post("/sandbox/unfreeze", {}), 422, "validation_failed")
    with world.platform.store.write(actor="test") as tx:
        sql.insert(tx, tables.freeze, reason="5 of 12 won", ledger_index=0, frozen_at_us=tx.now_us)
    assert world.operator.get("/sandbox").json()["freeze"]["reason"] == "5 of 12 won"
    problem_of(world.operator.post("/sandbox/unfreeze", {"reason": "  "}), 422, "reason_missing")
    done = world.operator.post("/sandbox/unfreeze", {"reason": "it is mended"}, key="once")
    again = world.operator.post("/sandbox/unfreeze", {"reason": "it is mended"}, key="once")
    assert (done.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (
        200,
        done.json(),
        "true",
    )
    entry = world.operator.get(f"/ledger/{done.json()['ledger_index']}").json()
    assert (entry["type"], entry["actor"], entry["payload"]) == (
        "UNFROZEN", "operator", {"reason": "it is mended"},
    )  # fmt: skip
    assert world.operator.get("/sandbox").json()["freeze"] is None


def test_only_the_operator_renews_the_holdout_with_a_reason(world, problem_of):
    body = {"reason": "a quarter has passed"}
    problem_of(world.agent("agent").post("/sandbox/holdout/renew", body), 403, "forbidden")
    problem_of(world.operator.post("/sandbox/holdout/renew", {"reason": " "}), 422, "reason_missing")
    before = world.operator.get("/sandbox").json()["holdout"]["epoch_id"]
    made = world.operator.post("/sandbox/holdout/renew", body).json()["epoch_id"]
    assert world.operator.get("/sandbox").json()["holdout"]["epoch_id"] == made == before + 1


@pytest.fixture
def filing(world):
    """Return a function that files a change as an agent, with real evidence."""
    lab = Laboratory(world.platform).set_up()
    proposer = world.agent("proposer")

    def file(**changes):
        return proposer.post("/proposals", {**CHANGE, "evidence": list(lab.failing()), **changes})

    return file


def test_a_proposal_states_its_metric_its_scope_and_its_guardrails(world, filing):
    made = filing(
        metric="task_cost",
        scope="agent",
        guardrails=[
            {"metric": "task_duration", "margin": "0.20"},
            {"metric": "task_success", "margin": "0.15"},
        ],
    )
    assert made.status_code == 201, made.text
    shown = world.operator.get(f"/proposals/{made.json()['proposal_id']}").json()
    assert (shown["metric"], shown["scope"]) == ("task_cost", "agent")
    margins = {row["metric"]: Decimal(row["margin"]) for row in shown["guardrails"]}
    assert margins == {"task_duration": Decimal("0.2"), "task_success": Decimal("0.15")}


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"metric": "task_joy"}, "validation_failed", "body.metric"),
        ({"scope": "galaxy"}, "validation_failed", "body.scope"),
        ({"guardrails": [{"metric": "task_cost"}]}, "validation_failed", "body.guardrails[0].margin"),
        ({"guardrails": ["task_cost"]}, "validation_failed", "body.guardrails[0]"),
        (
            {"guardrails": [{"metric": "task_success", "margin": "0.1"}]},
            "guardrail_twice",
            "body.guardrails.0.metric",
        ),
        (
            {"guardrails": [{"metric": "task_cost", "margin": "1.5"}]},
            "margin_out_of_bounds",
            "body.guardrails.0.margin",
        ),
        (
            {"metric": "task_duration", "expected_effect": "0.6"},
            "effect_out_of_bounds",
            "body.expected_effect",
        ),
        ({"expected_effect": "0.9"}, "effect_too_large", "body.expected_effect"),
        ({"cap_tasks": 20}, "admission_refused", "body.cap_tasks"),
        ({"expected_effect": "0.04", "cap_tasks": 9_000}, "confirmation_refused", "body.expected_effect"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(filing, problem_of, wrong, code, field):
    assert problem_of(filing(**wrong), 422, code)["field"] == field
