"""The lap as a reader sees it: seven stages, each done only when its own hop is recorded."""

import json

import pytest
from sqlalchemy import event

from services.domain.clock import SECOND_US, VirtualClock
from services.domain.hash_chain import leaf_hash
from services.store import sql, tables, views
from services.store.tx import Store

START = 1_767_225_600 * SECOND_US
HOPS = [
    "ANOMALY",
    "meta_task",
    "PROPOSAL",
    "vote",
    "experiment",
    "verdict",
    "VERDICT",
    "PROMOTED",
    "RECOVERED",
]
TIMEOUT = "research_synthesis.timeout_seconds"


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock(START))
    yield made
    made.close()


def write_entry(tx, kind, lap_id):
    head = tx.connection.exec_driver_sql("SELECT count(*) FROM ledger_entry").scalar_one()
    leaf = json.dumps({"index": head, "type": kind, "payload": {"said": kind.lower()}}).encode()
    sql.insert(
        tx, tables.ledger_entry, index=head, type=kind, actor="system:test", lap_id=lap_id,
        at_us=tx.now_us, leaf=leaf, leaf_hash=leaf_hash(leaf).hex(),
    )  # fmt: skip


def write_agent(tx, name):
    return sql.insert(
        tx, tables.agent, name=name, owner="o", scopes=[], key_hash=name, standing="full", is_vouched=True,
        registered_at_us=START, last_active_at_us=START,
    )  # fmt: skip


def write_meta_task(tx, lap_id, agent_id, state):
    return sql.insert(
        tx, tables.task, kind="meta", type="investigation", state=state, lap_id=lap_id, public={}, private={},
        reserve_price_microcredits=1, attempt_count=1, maximum_attempts=2, awarded_agent_id=agent_id,
        posted_at_us=START, bids_close_at_us=START, awarded_at_us=START, deadline_at_us=START + SECOND_US,
            )  # fmt: skip


def write_proposal(tx, lap_id, agent_id, task_id, state):
    return sql.insert(
        tx, tables.proposal, lap_id=lap_id, meta_task_id=task_id, proposer_id=agent_id, parameter=TIMEOUT,
        from_value="0.9", to_value="1.8", from_version=1, metric="task_success", expected_effect="0.25",
        cap_tasks=400, cap_days=7, admission_tasks=90, base_rate=0.65, root_cause="slow", evidence=[1],
        content_hash="c", risk="open", state=state, yes=4, no=1, abstain=0, electorate=6,
        opened_at_us=START, minimum_until_us=START, closes_at_us=START, decided_at_us=START,
    )  # fmt: skip


def write_experiment(tx, lap_id, proposal_id, *, verdict=None):
    return sql.insert(
        tx, tables.experiment, proposal_id=proposal_id, lap_id=lap_id, parameter=TIMEOUT,
        task_type="research_synthesis", control_value="0.9", treatment_value="1.8", control_version=1,
        state="ended" if verdict else "running", verdict=verdict, reason="improvement shown",
        plan={"alpha": "0.05"}, salt="s" * 64, salt_commitment="c" * 64, assigned_count=2,
        bet_state={"e_log": "1.25"}, maximum_wait_us=1, started_at_us=START, closes_at_us=START,
        ended_at_us=START if verdict else None,
    )  # fmt: skip


def write_change(tx, experiment_id):
    shared = {"value": "1.8", "version": 2, "source": "promoted", "changed_at_us": START}
    if sql.find(tx, tables.parameter, name=TIMEOUT) is None:
        sql.insert(tx, tables.parameter, name=TIMEOUT, **shared)
        sql.insert(
            tx, tables.parameter_change, name=TIMEOUT, actor="x", experiment_id=experiment_id, **shared
        )


def play(tx, hops):
    """Record a lap up to and including the given number of hops, as the layers record it."""
    reached = HOPS[:hops]
    lap_id = sql.insert(tx, tables.lap, opened_at_us=START)
    agent_id = write_agent(tx, f"diagnostician-{lap_id}")
    episode_id = sql.insert(
        tx, tables.episode, metric="task_success", dimension="task_type", key=f"type-{lap_id}", rule="line",
        state="closed" if "RECOVERED" in reached else "open", numerator=46, denominator=70, evidence={},
        lap_id=lap_id, opened_at_us=START, closed_at_us=START if "RECOVERED" in reached else None,
    )  # fmt: skip
    task_id = proposal_id = None
    if "meta_task" in reached:
        task_id = write_meta_task(tx, lap_id, agent_id, "submitted" if "PROPOSAL" in reached else "leased")
        sql.update(tx, tables.episode, {"id": episode_id}, meta_task_id=task_id)
    if "PROPOSAL" in reached:
        states = {"vote": "passed", "experiment": "testing", "PROMOTED": "promoted"}
        state = next((states[hop] for hop in reversed(reached) if hop in states), "open")
        proposal_id = write_proposal(tx, lap_id, agent_id, task_id, state)
    if "experiment" in reached:
        experiment_id = write_experiment(
            tx, lap_id, proposal_id, verdict="win" if "verdict" in reached else None
        )
        for ordinal, (arm, outcome) in enumerate([(0, 0.0), (1, 1.0), (1, None)]):
            exposed = write_meta_task(tx, None, agent_id, "submitted")
            sql.insert(
                tx, tables.exposure, experiment_id=experiment_id, task_id=exposed, unit=f"{exposed}:0",
                ordinal=ordinal, arm=arm, share=0.5, value="1.8", stratum="s", outcome=outcome,
                is_folded=outcome is not None, log_e=0.5 * ordinal, assigned_at_us=START,
            )  # fmt: skip
        if "PROMOTED" in reached:
            write_change(tx, experiment_id)
    for kind in reached:
        if kind.isupper():
            write_entry(tx, kind, lap_id)
    return lap_id


def states_of(lap):
    return {stage["name"]: stage["state"] for stage in lap["stages"]}


@pytest.mark.parametrize(
    ("hops", "done", "current", "running"),
    [
        (0, 0, "observe", True),
        (1, 1, "diagnose", False),
        (2, 1, "diagnose", True),
        (3, 3, "vote", True),
        (4, 4, "experiment", False),
        (5, 4, "experiment", True),
        (6, 5, "learn", True),
        (7, 6, "promote", True),
        (8, 7, "promote", False),
        (9, 7, "promote", False),
    ],
)
def test_a_stage_is_done_only_when_its_hop_is_recorded(store, hops, done, current, running):
    with store.write(actor="test") as tx:
        lap = views.get_lap(tx, play(tx, hops))
    states = list(states_of(lap).values())
    assert states[:done] == ["done"] * done
    assert lap["stage"] == current
    rest = states[done:]
    assert rest == (["running"] * running + ["waiting"] * 7)[: len(rest)]


def test_a_closed_lap_is_told_whole(store):
    with store.write(actor="test") as tx:
        lap_id = play(tx, 9)
        sql.update(tx, tables.lap, {"id": lap_id}, closed_at_us=START, outcome="promoted")
        lap = views.get_lap(tx, lap_id)
    told = {stage["name"]: stage for stage in lap["stages"]}
    assert told["observe"]["detail"].startswith("task_success of task_type type-")
    assert "46 of 70 (66 %)" in told["observe"]["detail"]
    assert told["vote"]["detail"] == "passed: 4 for, 1 against, 0 abstained, of 6"
    assert told["experiment"]["detail"] == "win: control 0 % (0/1), treatment 100 % (1/1)"
    assert told["promote"]["ref"] == {"kind": "entry", "id": 3}
    assert lap["parameter"] == {"name": TIMEOUT, "before": "0.9", "after": "1.8"}
    assert [entry["type"] for entry in lap["entries"]] == [hop for hop in HOPS if hop.isupper()]
    assert lap["entries"][0]["payload"] == {"said": "anomaly"}
    assert (lap["outcome"], lap["closed_at"]) == ("promoted", "2026-01-01T00:00:00.000000Z")


def test_a_refused_change_fails_at_promote_and_changes_nothing(store):
    with store.write(actor="test") as tx:
        lap_id = play(tx, 5)
        sql.update(
            tx, tables.experiment, {"lap_id": lap_id}, state="ended", verdict="inconclusive", reason="futile"
        )
        for kind in ("VERDICT", "REFUSED"):
            write_entry(tx, kind, lap_id)
        lap = views.get_lap(tx, lap_id)
    assert states_of(lap)["learn"] == "done"
    assert states_of(lap)["promote"] == "failed"
    assert "inconclusive" in lap["stages"][-1]["detail"]
    assert lap["parameter"]["after"] is None


@pytest.mark.parametrize("state", ["rejected", "inquorate", "withdrawn"])
def test_a_vote_that_does_not_carry_fails_there(store, state):
    with store.write(actor="test") as tx:
        lap_id = play(tx, 3)
        sql.update(tx, tables.proposal, {"lap_id": lap_id}, state=state)
        lap = views.get_lap(tx, lap_id)
        assert (states_of(lap)["vote"], lap["stage"]) == ("failed", "vote")
        assert states_of(lap)["experiment"] == "waiting"
        sql.update(tx, tables.lap, {"id": lap_id}, closed_at_us=START, outcome=state)
        assert states_of(views.get_lap(tx, lap_id))["experiment"] == "failed"


def test_an_investigation_that_fails_leaves_no_proposal(store):
    with store.write(actor="test") as tx:
        lap_id = play(tx, 2)
        sql.update(
            tx, tables.task, {"lap_id": lap_id}, state="failed", end_reason="agent_error", ended_at_us=START
        )
        lap = views.get_lap(tx, lap_id)
    assert (states_of(lap)["diagnose"], states_of(lap)["propose"]) == ("failed", "failed")
    assert "agent_error" in lap["stages"][1]["detail"]


def test_a_page_of_laps_costs_the_same_number_of_queries_whatever_it_holds(store):
    statements = []
    event.listen(store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def cost():
        statements.clear()
        with store.read() as tx:
            page = views.list_laps(tx)
        return len(page["items"]), sum(text.startswith("SELECT") for text in statements)

    with store.write(actor="test") as tx:
        play(tx, 7)
    one = cost()
    with store.write(actor="test") as tx:
        for hops in range(3):
            play(tx, hops)
    four = cost()
    assert (one[0], four[0]) == (1, 4)
    assert four[1] == one[1]


def test_an_experiment_shows_its_arms_its_path_and_its_salt_only_at_the_end(store):
    with store.write(actor="test") as tx:
        lap_id = play(tx, 5)
        running = views.get_lap(tx, lap_id)["experiment"]
        assert (running["salt"], running["salt_commitment"]) == (None, "c" * 64)
        counts = [list(running[arm].values())[:4] for arm in ("control", "treatment")]
        assert counts == [[1, 1, 0, 0.0], [2, 1, 1, 1.0]]
        assert running["log_e"] == 1.25
        assert running["threshold_log_e"] == pytest.approx(2.9957, abs=1e-4)
        sql.update(tx, tables.experiment, {"lap_id": lap_id}, state="futile", verdict="inconclusive")
        ended = views.get_experiment(tx, running["experiment_id"])
    assert ended["salt"] == "s" * 64
    assert ended["path"] == [
        {"ordinal": 0, "log_e": 0.0, "arm": 0, "outcome": 0.0, "share": 0.5, "leg": "trial"},
        {"ordinal": 1, "log_e": 0.5, "arm": 1, "outcome": 1.0, "share": 0.5, "leg": "trial"},
    ]
