"""Short runs of the simulated market on the real platform: sound, repeatable, and doing what is claimed."""

import pytest

from app.simulation.market.demotion import demoted
from app.simulation.market.deployment import Deployment
from app.simulation.market.drive import NOBODY, run_market
from app.simulation.market.marketplace import Bid, Offer
from app.simulation.market.population import draw_population
from app.simulation.market.report import markdown, report_of, rows_of
from app.simulation.market.runner import rehearse, run_setting
from app.simulation.market.settings import CREDIT_MICROCREDITS, Attack, Setting, microcredits
from services.domain.auction import AwardRule
from services.operations import watchdog
from services.operations.agent_registry import GRANT_MICROCREDITS
from services.store import sql, tables

SEED = 1
SHORT = Setting(tasks=300)
SMALL = Setting(tasks=200, attack=Attack.BUY)


@pytest.fixture(scope="module")
def plain():
    return run_setting(SHORT, SEED, check_every=100)


@pytest.fixture(scope="module")
def small():
    return run_setting(SMALL, SEED)


@pytest.fixture
def deployment(migrated_sqlite_url, tmp_path):
    found = Deployment(SHORT, migrated_sqlite_url, tmp_path, SEED, is_migrated=True)
    yield found
    found.close()


def test_short_run_is_sound_and_checked_on_the_way(plain):
    assert plain.is_sound, (plain.breaches, plain.refused)
    assert plain.checks == 3
    assert (plain.trace.winner != NOBODY).all()
    assert plain.posted == SHORT.tasks
    assert plain.bids == plain.trace.bid_count.sum()


def test_market_learns_even_in_a_short_run(plain):
    trace = plain.trace
    assert trace.success[150:].mean() > trace.success[:100].mean() + 0.05
    assert plain.figures.liars_jobs < 0.25
    assert plain.figures.utility > 0.25


def test_same_seed_same_ledger_root_and_same_trades(small):
    again = run_setting(SMALL, SEED)
    assert again.root == small.root
    assert (again.trace.winner == small.trace.winner).all()
    assert again.trace.paid.sum() == small.trace.paid.sum()


def test_platform_and_rehearsal_tell_the_same_story(plain):
    rehearsed = rehearse(SHORT, SEED)
    assert plain.figures.utility == pytest.approx(rehearsed.utility, abs=0.2)
    assert plain.figures.early == pytest.approx(rehearsed.early, abs=0.1)


def test_postgresql_runs_the_same_market(migrated_postgresql_url, small):
    there = run_setting(SMALL, SEED, url=migrated_postgresql_url)
    assert there.is_sound, (there.breaches, there.refused)
    assert (there.trace.winner == small.trace.winner).all()
    assert there.trace.paid.sum() == small.trace.paid.sum()


def test_money_of_every_agent_is_its_grant_and_what_it_traded(deployment):
    population = draw_population(SEED, 200)
    trace = run_market(population, Setting(tasks=200), deployment)
    joined = {n: deployment.stage.platform for n in range(population.agents) if population.born[n] < 200}
    with deployment.stage.platform.store.read() as tx:
        rows = {row["name"]: row["id"] for row in sql.find_all(tx, tables.agent)}
    ids = [rows[f"agent_{agent:03d}_1"] for agent in joined]
    balances = deployment.balances(ids)
    for agent, number in zip(joined, ids, strict=True):
        mine = trace.winner == agent
        traded = (trace.paid[mine].sum() - trace.lost[mine].sum()) * CREDIT_MICROCREDITS
        assert balances[number] == pytest.approx(GRANT_MICROCREDITS + traded, abs=1)


def test_winner_is_paid_when_its_coin_says_so_and_loses_its_stake_when_not(deployment):
    good, bad = deployment.join("good"), deployment.join("bad")
    value, stake = microcredits(10.0), microcredits(SHORT.stake)
    won, lost = deployment.trade(
        [Offer(0, value, [Bid(good, value // 2, True)]), Offer(1, value, [Bid(bad, value // 2, False)])]
    )
    assert won == (good, value, 0, True, True)
    assert lost == (bad, 0, stake, False, True)
    assert deployment.balances([good, bad]) == {
        good: GRANT_MICROCREDITS + value,
        bad: GRANT_MICROCREDITS - stake,
    }


def test_who_cannot_put_up_the_stake_is_shut_out_and_wins_nothing(deployment):
    poor = deployment.join("poor")
    value, stake = microcredits(10.0), microcredits(SHORT.stake)
    for _ in range(GRANT_MICROCREDITS // stake):
        assert deployment.shut_out([poor], stake) == set()
        deployment.trade([Offer(0, value, [Bid(poor, 1, False)])])
    assert deployment.shut_out([poor], stake) == {poor}
    (deal,) = deployment.trade([Offer(0, value, [Bid(poor, 1, True)])])
    assert deal.member is None


def test_bought_work_is_posted_won_and_paid_between_its_parties(deployment):
    liar, requester = deployment.join("liar"), deployment.join_as_requester("friend")
    reserve = GRANT_MICROCREDITS // 20
    deals = deployment.trade([Offer(0, reserve, [Bid(liar, 1, True)], requester) for _ in range(20)])
    assert all(deal.member == liar and deal.is_verified for deal in deals)
    assert deployment.balances([liar, requester]) == {liar: 2 * GRANT_MICROCREDITS, requester: 0}


def test_a_breach_makes_a_run_unsound(monkeypatch):
    monkeypatch.setattr(watchdog, "recomputed", lambda award, _task: (award["agent_id"] + 1, 1))
    run = run_setting(Setting(tasks=200), SEED)
    assert not run.is_sound
    assert "A2" in run.breaches[0]


def test_report_has_a_row_per_rule_and_says_how_fast_it_was(plain):
    other = run_setting(Setting(tasks=200, rule=AwardRule.FIRST_COME), SEED)
    report, rows = report_of([plain, other]), rows_of([plain, other])
    assert report["is_sound"] is True
    assert [run["rule"] for run in report["runs"]] == ["cooled", "first-come"]
    assert report["effort"]["bids_per_cpu_second"] > 0
    assert [row["rule"] for row in rows] == ["cooled", "first-come"]
    assert rows[0]["utility, % of oracle"] == f"{100 * plain.figures.utility:.1f}"
    table = markdown(rows).splitlines()
    assert len(table) == 4
    assert {line.count("|") for line in table} == {len(rows[0]) + 1}


def test_standing_is_lost_by_those_that_fail_and_kept_by_those_that_do_not():
    good, bad = demoted(0.8, 100, SEED), demoted(0.3, 100, SEED)
    assert good.suspended == 0
    assert bad.suspended == 100
    assert 20 <= bad.median_jobs <= 40
