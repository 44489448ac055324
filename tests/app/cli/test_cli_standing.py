"""`nacre agent …` on standing and bids, and `nacre failed …`: the API's answers as JSON, words for people."""

import pytest

from services.domain.clock import HOUR_US, WallClock
from services.domain.states import Standing
from services.store import sql, tables
from tests.app.cli.conftest import ReadOverHttp

PAGES = {
    "agent directory": ("/directory", {}),
    "agent directory --type monte_carlo --limit 1 --oldest": (
        "/directory",
        {"type": "monte_carlo", "limit": 1, "order": "oldest"},
    ),
    "agent leaderboard": ("/leaderboard", {}),
    "agent leaderboard --type monte_carlo --limit 1": ("/leaderboard", {"type": "monte_carlo", "limit": 1}),
    "failed list": ("/failed-work", {}),
    "failed list --kind task --owner agent:1": ("/failed-work", {"kind": "task", "owner": "agent:1"}),
}


@pytest.fixture
def worked(market, requester, worker):
    """A market of today, as the command's own clock has it, with one verified and one failed task."""
    clock = market.platform.store.clock
    clock.advance(WallClock().now_us() - clock.now_us() - HOUR_US)
    market.done(requester, worker)
    market.failed = market.done(requester, worker, is_good=False)
    return market


def test_listings_as_json_are_the_answers_of_the_api(nacre, worked, worker):
    api = ReadOverHttp(worked.platform)
    for words, (path, query) in PAGES.items():
        told = nacre(*words.split(), "--json", *api.database).json
        assert told == api.get(path, **query).json(), words
        assert told["items"], words
    standing = nacre("agent", "standing", worker, "--json", *api.database).json
    assert standing == api.get(f"/agents/{worker}/standing").json()


def test_listings_in_words_name_what_matters(nacre, worked, worker):
    database = ReadOverHttp(worked.platform).database
    (entry, _) = nacre("agent", "directory", *database).rows
    assert entry["does"] == "monte_carlo 1 of 2"
    (row,) = nacre("agent", "leaderboard", *database).rows
    assert (row["rank"], row["agent_id"], row["verified"]) == ("1", str(worker), "1")
    bids = nacre("agent", "bids", worker, "--state", "won", *database).rows
    assert [bid["state"] for bid in bids] == ["won", "won"]
    (line,) = nacre("failed", "list", *database).rows
    assert (line["reason.code"], line["count"], line["can_retry"]) == ("verification_failed", "1", "yes")
    words = nacre("agent", "standing", worker, *database).out
    assert "next_step\tfull after 19 more verified\n" in words
    assert "crashes_in_a_row\t0 of 12\n" in words


def test_a_recount_agrees_and_names_what_was_written_by_hand(nacre, worked, worker):
    database = ReadOverHttp(worked.platform).database
    agreed = nacre("agent", "recompute", *database)
    assert (agreed.code, agreed.out) == (
        0,
        "2 agents: every record and standing is the fold of its outcomes\n",
    )
    assert nacre("agent", "recompute", worker, "--json", *database).json == {"agents": 1, "differences": []}
    with worked.write() as tx:
        sql.update(tx, tables.agent, {"id": worker}, verified_jobs=9)
    wrong = nacre("agent", "recompute", *database)
    assert wrong.code == 1
    assert wrong.rows == [{"agent_id": str(worker), "what": "verified_jobs", "stored": "9", "folded": "1"}]
    assert nacre("agent", "recompute", worker, "--json", *database).code == 1
    assert nacre("agent", "recompute", 999, *database).code == 1


def test_a_suspension_and_a_decided_appeal_go_into_the_ledger(nacre, worked, worker):
    database = ReadOverHttp(worked.platform).database
    told = nacre("agent", "suspend", worker, "--reason", "it copies", "--json", *database).json
    assert told == {"agent_id": worker, "standing": "suspended"}
    shown = nacre("agent", "standing", worker, *database).out
    assert "stake_microcredits\t1000000\n" in shown
    with worked.write() as tx:
        item = sql.insert(
            tx, tables.review_item, kind="appeal", subject=f"agent:{worker}",
            context={"agent_id": worker}, opened_at_us=tx.now_us,
        )  # fmt: skip
    assert nacre("agent", "decide-appeal", item, "maybe", "--reason", "x", *database).code == 2
    words = ("agent", "decide-appeal", item, "granted", "--reason", "its source was down", "--json")
    assert nacre(*words, *database).json == {"agent_id": worker, "decision": "granted"}
    assert nacre(*words, *database).code == 1
    assert worked.row(tables.agent, id=worker)["standing"] == Standing.PROBATION
    (entry,) = nacre("ledger", "list", "--limit", 1, "--json", *database).json["items"]
    assert entry["payload"]["reason"] == "appeal granted: its source was down"


def test_failed_work_is_retried_and_dismissed(nacre, worked):
    database = ReadOverHttp(worked.platform).database
    told = nacre("failed", "retry", "task", worked.failed, "--json", *database).json
    assert worked.task(told["task_id"])["retry_of_id"] == worked.failed
    again = nacre("failed", "retry", "task", worked.failed, *database)
    assert (again.code, "retried_already" in again.err) == (1, True)
    assert nacre("failed", "retry", "dragon", 1, *database).code == 2
    assert nacre("failed", "list", "--json", *database).json["items"] == []
    refused = nacre("failed", "dismiss", "task", worked.failed, "--reason", "x", *database)
    assert (refused.code, "not_waiting" in refused.err) == (1, True)
    with worked.write() as tx:
        sql.insert(tx, tables.review_item, kind="odd", subject="look", context={}, opened_at_us=tx.now_us)
    item = nacre("failed", "list", "--json", *database).json["items"][0]
    done = nacre(
        "failed", "dismiss", item["kind"], item["id"], "--reason", "seen to", "--json", *database
    ).json
    assert (done["kind"], done["count"]) == ("review_item", 1)
    assert nacre("failed", "list", "--json", *database).json["items"] == []
