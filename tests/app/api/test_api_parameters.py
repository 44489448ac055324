"""Parameters over HTTP: a person's own acts, any time, any task; FIXED ones in disguise are never filed."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from app.api import parameter_examples
from services.domain.parameters import Risk
from services.store import sql, tables
from tests.services.domain.disguises import NUMBERS, disguised

COOLING, STAKE, TIMEOUT = "market.cooling", "market.stake_percent", "monte_carlo.timeout_seconds"
SEED, PROPOSALS = 7, 300


def override(api, value="8", version=1, name=COOLING, **body):
    wanted = {"value": value, "expected_version": version, "reason": "it must be so", **body}
    return api.post(f"/parameters/{name}/override", wanted)


def test_a_person_sets_values_and_everybody_can_see_when_and_why(world, problem_of):
    agent, operator = world.agent("reader"), world.operator
    problem_of(override(agent), 403, "forbidden")
    problem_of(
        agent.post("/parameters/import", {"parameters": {COOLING: {"value": "8"}}, "reason": "x"}),
        403,
        "forbidden",
    )
    done = override(operator).json()
    assert list(done) == list(parameter_examples.OVERRIDE)
    size = done["ledger_index"]
    for answer, status, code in (
        (override(operator, "9"), 409, "version_changed"),
        (override(operator, "17", 2), 422, "value_out_of_bounds"),
        (override(operator, "8.0", 2), 422, "value_unchanged"),
        (override(operator, "９", 2), 422, "value_not_a_number"),
        (override(operator, "9", 2, reason=" "), 422, "reason_missing"),
        (override(operator, 9, 2), 422, "validation_failed"),
        (override(operator, name="market.cоoling"), 404, "not_found"),
        (operator.get("/parameters/diff", **{"from": "soon", "to": "1"}), 422, "instant_malformed"),
        (operator.get("/parameters/diff", **{"from": "1", "to": "9999"}), 404, "not_found"),
        (operator.get(f"/parameters/{COOLING}", at="2000-01-01T00:00:00Z"), 404, "not_found"),
        (operator.get("/tasks/999/parameters"), 404, "not_found"),
    ):
        assert problem_of(answer, status, code).get("field") or status == 404
    wanted = {
        COOLING: {"value": "16", "version": 2},
        STAKE: {"value": "0"},
        "consensus.electorate": {"value": "owner"},
    }
    body = {"parameters": wanted, "reason": "as exported"}
    dry = operator.post("/parameters/import", {**body, "dry_run": True}).json()
    refused = {**wanted, "market.entry_jobs": {"value": "0"}}
    problem = problem_of(
        operator.post("/parameters/import", {**body, "parameters": refused}), 422, "value_out_of_bounds"
    )
    assert problem["field"] == "body.parameters.market.entry_jobs"
    assert agent.get(f"/parameters/{COOLING}").json()["value"] == "8"
    imported = operator.post("/parameters/import", body).json()
    assert list(imported) == list(parameter_examples.IMPORT)
    assert (imported["changes"], len(imported["done"])) == (dry["changes"], 3)
    shown = agent.get(f"/parameters/{COOLING}", at=str(size)).json()
    assert (shown["value"], shown["in_force_at"]["value"], shown["kind"]) == ("16", "4", "number")
    assert [change["reason"] for change in shown["history"]] == ["as exported", "it must be so", None]
    diff = agent.get("/parameters/diff", **{"from": str(size), "to": str(size + 4)}).json()
    for real, example in ((diff, parameter_examples.DIFF), (diff["from"], parameter_examples.POINT)):
        assert list(real) == list(example)
    assert list(diff["changes"][0]) == list(parameter_examples.DIFF["changes"][0])
    assert len(diff["changes"]) == 3
    exported = agent.get("/parameters/export").json()
    assert list(exported) == list(parameter_examples.EXPORT)
    assert exported["config_sha256"] == diff["to"]["config_sha256"]


def test_a_task_shows_the_values_it_got_whatever_is_set_later(world, pi_task):
    agent, operator = world.agent("reader"), world.operator
    task = operator.post("/tasks", pi_task).json()["task_id"]
    told = agent.get(f"/tasks/{task}/parameters").json()
    assert (list(told), told["is_fixed"], told["fixed_at"]) == (list(parameter_examples.OF_TASK), False, None)
    worker = world.agent("worker")
    worker.post(f"/tasks/{task}/bids", {"ask_microcredits": 50_000})
    world.close_windows()
    set_later = override(operator, "60", name=TIMEOUT)
    assert set_later.status_code == 200, set_later.text
    told = agent.get(f"/tasks/{task}/parameters").json()
    assert (told["is_fixed"], list(told["parameters"][0])) == (
        True,
        list(parameter_examples.OF_TASK["parameters"][0]),
    )
    (timeout,) = [one for one in told["parameters"] if one["name"] == TIMEOUT]
    assert (timeout["value"] != "60", timeout["source"]) == (True, "default")


def test_exactly_one_of_two_racing_calls_sets_it(world):
    for version in (1, 2, 3):
        barrier = Barrier(2)

        def act(value, version=version, barrier=barrier):
            barrier.wait(timeout=60)
            return override(world.operator, value, version)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(act, [f"{version}.25", f"{version}.5"]))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        (lost,) = [answer.json()["code"] for answer in answers if answer.status_code == 409]
        assert lost == "version_changed"


def test_hundreds_of_proposals_in_disguise_are_problems_with_a_field_and_never_filed(world):
    rng, agent = random.Random(SEED), world.agent("proposer")
    fixed = [one.name for one in world.platform.registry if one.risk is Risk.FIXED]
    body = {"expected_effect": "0.25", "root_cause": "x", "evidence": [1], "cap_tasks": 400, "cap_days": 7}
    codes = set()
    for number in range(PROPOSALS):
        name, to = rng.choice(fixed), rng.choice(["1", "2"])
        if number % 5 == 4:
            name, to = TIMEOUT, rng.choice([*NUMBERS, True, 5, None, ["60"], {"to": "60"}])
        elif number % 5:
            name = disguised(rng, name, TIMEOUT).replace("\x00", " ")
        answer = agent.post("/proposals", {**body, "parameter": name, "to": to})
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (
            name,
            to,
        )
        assert problem["code"] in {"parameter_fixed", "value_not_a_number", "validation_failed"}, (
            name,
            to,
            problem,
        )
        assert problem["field"].startswith("body."), (name, to, problem)
        codes.add(problem["code"])
    assert codes >= {"parameter_fixed", "value_not_a_number"}
    with world.platform.store.read() as tx:
        assert sql.find_all(tx, tables.proposal) == []
        assert sql.find_all(tx, tables.ledger_entry, order_by="index", type="PROPOSAL") == []
