"""Migration 0002 over a database that lived under 0001: nothing is lost, states say what verdicts meant."""

import pytest
from sqlalchemy import MetaData, delete, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from services.domain.bet import BetPlan, BetState
from services.domain.sequential import start
from services.store import migrate
from services.store.engine import open_engine

NOW_US = 1_767_225_600_000_000
PLAN = BetPlan(effect=0.2, cap_tasks=400, base_rate=0.6, treatment_share=0.4)
LATER_FIELDS = (
    "metric",
    "guardrails",
    "is_proof_required",
    "minimum_per_arm",
    "minimum_cycle_us",
    "ramp_share",
    "ramp_tasks",
)
LATER_STATE = ("resolved", "resolved_expected", "resolved_srm_log", "elapsed_us", "past", "guardrails")

EXPERIMENTS = (
    # id, parameter, state and verdict of 0001, reason, state of 0002
    (1, "a.timeout_seconds", "ended", "win", "improvement shown", "confirmed"),
    (2, "a.timeout_seconds", "ended", "loss", "harm shown", "aborted"),
    (3, "b.timeout_seconds", "ended", "inconclusive", "futile", "futile"),
    (4, "b.timeout_seconds", "ended", "inconclusive", "cap reached", "inconclusive"),
    (5, "b.timeout_seconds", "ended", "inconclusive", "deadline reached", "inconclusive"),
    (6, "b.timeout_seconds", "ended", "invalid", "sample ratio mismatch", "aborted"),
    (7, "c.timeout_seconds", "running", None, None, "running"),
)
OF_STATE = {number: state for number, *_, state in EXPERIMENTS}


def old_plan():
    """Return a plan as it was written before the later fields existed."""
    return {name: value for name, value in PLAN.to_payload().items() if name not in LATER_FIELDS}


def old_bet():
    return {name: value for name, value in start(PLAN).to_payload().items() if name not in LATER_STATE}


@pytest.fixture
def lived(database_url):
    """A database at 0001 with seven experiments, their proposals, tasks and exposures: (url, engine)."""
    migrate.upgrade(database_url, "0001")
    engine = open_engine(database_url)
    known = tables_of(engine)
    with engine.begin() as connection:
        fill(connection, known)
    yield database_url, engine
    engine.dispose()


def tables_of(engine):
    found = MetaData()
    found.reflect(engine)
    return found.tables


def fill(connection, known):
    """Insert rows as the platform of 0001 wrote them."""
    agent = {
        "id": 1,
        "name": "ada",
        "owner": "ada",
        "scopes": ["propose"],
        "standing": "full",
        "is_vouched": True,
    }
    connection.execute(insert(known["agent"]).values(**agent, **defaults(known["agent"], tuple(agent))))
    for number, parameter, state, verdict, reason, _ in EXPERIMENTS:
        proposal = {
            "id": number,
            "proposer_id": 1,
            "parameter": parameter,
            "evidence": [1],
            "content_hash": "h",
            "state": "testing" if state == "running" else "refused",
            "metric": "task_success",
            "expected_effect": "0.2",
            "cap_tasks": 400,
        }
        connection.execute(
            insert(known["proposal"]).values(**proposal, **defaults(known["proposal"], tuple(proposal)))
        )
        row = {
            "id": number,
            "proposal_id": number,
            "parameter": parameter,
            "state": state,
            "verdict": verdict,
            "reason": reason,
            "task_type": parameter.split(".")[0],
            "plan": old_plan(),
            "bet_state": old_bet(),
            "ended_at_us": None if state == "running" else NOW_US,
            "control_value": "90",
            "salt": "s" * 64,
            "treatment_value": "180",
        }
        connection.execute(
            insert(known["experiment"]).values(**row, **defaults(known["experiment"], tuple(row)))
        )
        expose(connection, known, number, row["task_type"])


def expose(connection, known, number, task_type):
    """Insert three exposures of an experiment, the first of them unresolved."""
    for place in range(3):
        task_id = number * 10 + place
        task = {"id": task_id, "kind": "user", "type": task_type, "state": "settled"}
        connection.execute(insert(known["task"]).values(**task, **defaults(known["task"], tuple(task))))
        exposure = {
            "id": task_id,
            "experiment_id": number,
            "task_id": task_id,
            "ordinal": place,
            "unit": "u",
            "arm": place % 2,
            "share": 0.4,
            "outcome": 1.0 if place else None,
            "is_folded": bool(place),
        }
        connection.execute(
            insert(known["exposure"]).values(**exposure, **defaults(known["exposure"], tuple(exposure)))
        )


def defaults(table, given):
    """Return something of the right kind for every other column that must not be empty."""
    made = {}
    for column in table.columns:
        if column.nullable or column.name in given or column.server_default is not None:
            continue
        kind = column.type.python_type
        made[column.name] = {
            int: NOW_US if column.name.endswith("_us") else 1,
            float: 0.5,
            str: "x",
            bool: False,
            bytes: b"",
        }.get(kind, {})
    return made


def everything(engine):
    """Return every row of every table by name, but for Alembic's own."""
    with engine.connect() as connection:
        return {
            name: [
                dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for name, table in tables_of(engine).items()
            if name != "alembic_version"
        }


def test_ended_experiments_get_the_state_that_their_verdict_meant(lived):
    url, engine = lived
    before = everything(engine)
    migrate.upgrade(url, "0002")
    after = everything(engine)
    assert {row["id"]: row["state"] for row in after["experiment"]} == OF_STATE
    for table in ("proposal", "experiment", "task", "exposure", "agent"):
        assert len(after[table]) == len(before[table])
        for old, new in zip(before[table], after[table], strict=True):
            kept = {name: value for name, value in new.items() if name in old and name != "state"}
            assert kept == {name: value for name, value in old.items() if name != "state"}, table
    assert {row["proposal_id"] for row in after["experiment"]} == {row["id"] for row in after["proposal"]}
    for row in after["experiment"]:
        assert (row["kind"], row["scope"], row["window_us"]) == ("change", "task", 0)
        assert (row["treatment_share"], row["layer"]) == (0.4, row["task_type"])
        assert (row["confirm_alpha"], row["stream_position"], row["known_after"]) == (None, None, None)
    assert {row["is_resolved"] for row in after["exposure"]} in ({True}, {1})
    assert {row["is_holdout"] for row in after["task"]} in ({False}, {0})
    assert after["probation"] == after["epoch"] == after["freeze"] == []


def test_plans_and_bets_of_before_are_read_as_they_were_meant(lived):
    url, engine = lived
    migrate.upgrade(url, "0002")
    for row in everything(engine)["experiment"]:
        assert BetPlan.from_payload(row["plan"]) == PLAN
        assert BetState.from_payload(row["bet_state"]) == start(PLAN)


def test_references_hold_after_the_tables_were_built_anew(lived):
    url, engine = lived
    migrate.upgrade(url, "0002")
    known = tables_of(engine)
    for name, target in (("exposure", "experiment"), ("experiment", "proposal"), ("probation", "experiment")):
        found = {key["referred_table"] for key in inspect(engine).get_foreign_keys(name)}
        assert target in found, name
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        referenced = delete(known["experiment"]).where(known["experiment"].c.id == 1)
        with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
            connection.execute(referenced)
        connection.rollback()


@pytest.mark.parametrize("state", ["running", "provisional", "probation"])
def test_one_live_experiment_per_parameter(lived, state):
    url, engine = lived
    migrate.upgrade(url, "0002")
    experiment = tables_of(engine)["experiment"]
    with engine.begin() as connection:
        connection.execute(update(experiment).where(experiment.c.id == 7).values(state=state))
    values = {"parameter": "c.timeout_seconds", "state": "running"}
    second = update(experiment).where(experiment.c.id == 6).values(**values)
    with pytest.raises(IntegrityError, match=r"(?i)unique"), engine.begin() as connection:
        connection.execute(second)


def test_down_gives_the_old_rows_back_and_up_again_the_new_ones(lived):
    url, engine = lived
    before = everything(engine)
    migrate.upgrade(url, "0002")
    after = everything(engine)
    migrate.downgrade(url, "0001")
    assert everything(engine) == before
    migrate.upgrade(url, "0002")
    assert everything(engine) == after
    migrate.upgrade(url)
    migrate.check_drift(url)


def test_the_way_down_takes_placebos_and_probations_along(lived):
    url, engine = lived
    before = everything(engine)
    migrate.upgrade(url, "0002")
    known, upgraded = tables_of(engine), everything(engine)
    with engine.begin() as connection:
        placebo = next(row for row in upgraded["experiment"] if row["id"] == 1)
        placebo |= {
            "id": 8,
            "kind": "placebo",
            "proposal_id": None,
            "parameter": "placebo",
            "state": "running",
        }
        connection.execute(insert(known["experiment"]).values(**placebo))
        exposure = upgraded["exposure"][0] | {"id": 900, "experiment_id": 8}
        connection.execute(insert(known["exposure"]).values(**exposure))
        on_probation = known["experiment"].c.id == 7
        connection.execute(
            update(known["experiment"]).where(on_probation).values(state="probation", verdict="win")
        )
        row = {"experiment_id": 7, "plan": PLAN.to_payload(), "bet_state": start(PLAN).to_payload()}
        connection.execute(
            insert(known["probation"]).values(**row, **defaults(known["probation"], tuple(row)))
        )
    migrate.downgrade(url, "0001")
    found = everything(engine)
    assert found["exposure"] == before["exposure"]
    assert [row["id"] for row in found["experiment"]] == list(OF_STATE)
    assert {row["state"] for row in found["experiment"]} == {"ended"}, "0001 knows no probation"
