"""The lists: keyset pages on both engines, cursors that cannot be forged into errors, the pulse."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.clock import HOUR_US, SECOND_US, VirtualClock
from services.domain.errors import InvalidValueError
from services.domain.parameters import PLATFORM_PARAMETERS, ParameterRegistry
from services.domain.states import TaskState
from services.store import sql, tables, views
from services.store.tx import Store
from services.store.views.paging import LARGEST_ID, read_cursor, write_cursor

START = 1_767_225_600 * SECOND_US
REGISTRY = ParameterRegistry(PLATFORM_PARAMETERS)


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock(START))
    yield made
    made.close()


def write_task(tx, state="bidding", *, kind="user", ended_ago_us=None):
    return sql.insert(
        tx, tables.task, kind=kind, type="monte_carlo", state=state, public={}, private={"secret": 1},
        reserve_price_microcredits=1, attempt_count=0, maximum_attempts=2, posted_at_us=START,
        bids_close_at_us=START, deadline_at_us=START, duration_us=1_500_000,
        ended_at_us=None if ended_ago_us is None else START - ended_ago_us,
    )  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_in_both_orders_hold_everything_once(store, limit):
    with store.write(actor="test") as tx:
        ids = [write_task(tx) for _ in range(6)]
        for oldest_first in (False, True):
            seen, cursor = [], None
            while True:
                page = views.list_tasks(tx, limit=limit, cursor=cursor, oldest_first=oldest_first)
                assert 0 < len(page["items"]) <= limit
                seen += [item["task_id"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                if not oldest_first:
                    write_task(tx)
            assert seen[: len(ids)] == (ids if oldest_first else ids[::-1])
            assert len(set(seen)) == len(seen)
        assert len(seen) > len(ids) or limit == 6


@given(st.integers(0, LARGEST_ID), st.booleans())
def test_a_cursor_is_read_as_it_was_written(last_id, oldest_first):
    assert read_cursor(write_cursor(last_id, oldest_first=oldest_first), oldest_first=oldest_first) == last_id


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_a_cursor_or_a_named_refusal(text, oldest_first):
    try:
        found = read_cursor(text, oldest_first=oldest_first)
    except InvalidValueError as error:
        found = error
    assert getattr(found, "code", None) == "invalid_cursor" or 0 <= found <= LARGEST_ID


@pytest.mark.parametrize("inner", ["n-1", "n01", "n" + "9" * 19, "x1", "n", "n1 ", "n١", ""])
def test_a_forged_cursor_is_refused(inner):
    forged = base64.urlsafe_b64encode(inner.encode()).decode().rstrip("=")
    with pytest.raises(InvalidValueError, match="cannot be used"):
        read_cursor(forged, oldest_first=False)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_limit_out_of_bounds_is_refused(store, limit):
    with store.read() as tx, pytest.raises(InvalidValueError, match=r"1\.\.500"):
        views.list_tasks(tx, limit=limit)


def test_what_the_platform_holds_back_never_shows(store):
    with store.write(actor="test") as tx:
        task = views.get_task(tx, write_task(tx))
    assert "secret" not in str(task)
    assert task["duration_seconds"] == 1.5
    assert task["posted_at"] == "2026-01-01T00:00:00.000000Z"


def test_what_does_not_exist_is_none(store):
    with store.read() as tx:
        for read in (
            views.get_task, views.get_agent, views.get_proposal, views.get_experiment, views.get_entry,
            views.get_lap, views.get_episode,
        ):  # fmt: skip
            assert read(tx, 999) is None
        assert views.get_parameter(tx, REGISTRY, "no.such") is None


def test_empty_lists_are_empty_pages(store):
    with store.read() as tx:
        for read in (
            views.list_tasks, views.list_agents, views.list_proposals, views.list_experiments,
            views.list_entries, views.list_laps, views.list_episodes, views.list_snapshots,
            views.list_dead_letters, views.cron_history, views.list_review_items,
        ):  # fmt: skip
            assert read(tx) == {"items": [], "next_cursor": None}
        assert views.latest_ticks(tx) == []


def test_a_parameter_nobody_changed_shows_its_default(store):
    with store.read() as tx:
        page = views.list_parameters(tx, REGISTRY)
        one = views.get_parameter(tx, REGISTRY, "market.cooling")
    assert [item["name"] for item in page["items"]] == [parameter.name for parameter in REGISTRY]
    assert (one["value"], one["source"], one["version"], one["history"]) == ("4", "default", 0, [])


def test_the_pulse_counts_live_tasks_whole_and_ended_ones_within_their_windows(store):
    with store.write(actor="test") as tx:
        write_task(tx, "bidding")
        write_task(tx, "leased")
        write_task(tx, "settled", ended_ago_us=SECOND_US)
        write_task(tx, "failed", ended_ago_us=SECOND_US)
        write_task(tx, "cancelled", ended_ago_us=SECOND_US)
        write_task(tx, "failed", kind="meta", ended_ago_us=SECOND_US)
        write_task(tx, "settled", ended_ago_us=2 * HOUR_US)
        write_task(tx, "settled", ended_ago_us=48 * HOUR_US)
        beat = views.pulse(tx)
    assert set(beat["tasks"]) == {state.value for state in TaskState}
    assert (
        beat["tasks"] | {"bidding": 1, "leased": 1, "settled": 2, "failed": 2, "cancelled": 1}
        == beat["tasks"]
    )
    assert beat["recent_success"] == {"monte_carlo": {"numerator": 1, "denominator": 2}}
    assert (beat["open_proposals"], beat["running_experiments"], beat["dead_letters"]) == (0, 0, 0)
    assert beat["latest_lap_id"] is None


def test_the_latest_tick_of_each_job_and_the_history(store):
    with store.write(actor="test") as tx:
        for number, job in enumerate(["a", "b", "a"]):
            sql.insert(
                tx, tables.cron_tick, job=job, due_at_us=START + number, claimed_by="p", state="done",
                priority=5, budget_us=30 * SECOND_US, started_at_us=START, result={"n": number},
            )  # fmt: skip
        latest = {tick["job"]: tick["result"]["n"] for tick in views.latest_ticks(tx)}
        history = views.cron_history(tx, job="a")["items"]
    assert latest == {"a": 2, "b": 1}
    assert [tick["result"]["n"] for tick in history] == [2, 0]
    assert history[0]["budget_seconds"] == 30.0


def test_a_proposal_shows_its_electors_and_ballots_by_name(store):
    with store.write(actor="test") as tx:
        agents = [
            sql.insert(
                tx, tables.agent, name=name, owner="o", scopes=[], key_hash=name, standing="full",
                is_vouched=True, registered_at_us=START, last_active_at_us=START,
            )
            for name in ("ada", "bob")
        ]  # fmt: skip
        proposal_id = sql.insert(
            tx, tables.proposal, proposer_id=agents[0], parameter="p", from_value="1", to_value="2",
            from_version=1, metric="m", expected_effect="0.1", cap_tasks=1, cap_days=1, admission_tasks=1,
            base_rate=0.5, root_cause="r", evidence=[7], content_hash="c", risk="open", state="open", yes=0,
            no=1, abstain=0, electorate=1, opened_at_us=START, minimum_until_us=START, closes_at_us=START,
        )  # fmt: skip
        elector = {"proposal_id": proposal_id, "agent_id": agents[1], "unit": f"agent:{agents[1]}"}
        tx.connection.execute(tables.elector.insert().values(**elector))
        sql.insert(
            tx, tables.ballot, proposal_id=proposal_id, agent_id=agents[1], unit="agent:2", choice="against",
            forecast_percent=10, reason="costly", cast_at_us=START,
        )  # fmt: skip
        shown = views.get_proposal(tx, proposal_id)
        listed = views.list_proposals(tx, state="open")["items"][0]
    assert [one["agent_id"] for one in shown["electors"]] == [agents[1]]
    assert [(vote["agent_name"], vote["choice"], vote["reason"]) for vote in shown["ballots"]] == [
        ("bob", "against", "costly")
    ]
    assert "ballots" not in listed
    assert (listed["from"], listed["to"], listed["evidence"]) == ("1", "2", [7])
