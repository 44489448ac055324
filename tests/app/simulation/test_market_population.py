"""The simulated market's agents: what is drawn, what they ask, what they buy, and how figures are counted."""

from dataclasses import replace

import numpy as np
import pytest

from app.simulation.market import population as drawn
from app.simulation.market.agents import Agents
from app.simulation.market.drive import NOBODY, Trace, best_gain
from app.simulation.market.figures import figures_of, over_seeds
from app.simulation.market.marketplace import Deal
from app.simulation.market.settings import (
    ALL,
    CREDIT_MICROCREDITS,
    GRANT_IN_STAKES,
    Attack,
    Setting,
    microcredits,
    settings_of,
)
from services.domain.auction import AwardRule
from services.operations.agent_registry import GRANT_MICROCREDITS

TASKS = 1_000


class Noted:
    """A market that only notes what is done to it."""

    def __init__(self):
        self.names, self.traded, self.out = [], [], set()

    def join(self, name):
        self.names.append(name)
        return len(self.names)

    join_as_requester = join

    def trade(self, offers):
        self.traded += offers
        return [Deal(None, 0, 0, is_verified=False, is_unproven=False) for _ in offers]

    def shut_out(self, members, stake_microcredits):
        return self.out & set(members)

    def balances(self, members):
        return dict.fromkeys(members, 0)


@pytest.fixture(scope="module")
def population():
    return drawn.draw_population(3, TASKS)


def agents_in(population, **setting):
    return Agents(population, Setting(tasks=TASKS, **setting), Noted())


def test_one_seed_draws_one_market(population):
    again, other = drawn.draw_population(3, TASKS), drawn.draw_population(4, TASKS)
    for name in ("success", "cost", "coin", "is_present", "delay", "kind", "is_liar", "born"):
        assert np.array_equal(getattr(population, name), getattr(again, name)), name
    assert not np.array_equal(population.coin, other.coin)


def test_shares_are_as_declared():
    many = [drawn.draw_population(seed, 400) for seed in range(40)]
    liars = np.concatenate([one.is_liar for one in many])
    assert liars.mean() == pytest.approx(drawn.LIAR_SHARE, abs=0.04)
    assert many[0].is_present.mean() == pytest.approx(drawn.PRESENT_SHARE, abs=0.01)
    low, high = drawn.LIAR_SUCCESS
    assert all(((low <= one.success[one.is_liar]) & (one.success[one.is_liar] <= high)).all() for one in many)


def test_newcomers_are_born_one_by_one_and_one_is_a_star(population):
    assert population.born[: drawn.INCUMBENTS].tolist() == [0] * drawn.INCUMBENTS
    assert population.born[drawn.INCUMBENTS :].tolist() == list(range(100, TASKS + 1, 100))
    assert population.born[population.star] == drawn.STAR_AT_TASK
    assert (population.success[population.star] == drawn.STAR_SUCCESS).all()
    assert not population.is_liar[population.star]


def test_half_way_the_best_honest_agents_of_the_start_go_bad(population):
    changed = np.flatnonzero((population.success_at(0) != population.success_at(TASKS - 1)).any(1))
    assert sorted(changed) == sorted(population.ranked[: drawn.DRIFTING])
    assert (population.success_at(TASKS - 1)[changed] == drawn.SUCCESS_AFTER_DRIFT).all()
    assert not population.is_liar[changed].any()
    assert not set(changed) & set(population.good)
    assert np.array_equal(population.success_at(TASKS // 2 - 1), population.success)


def test_break_even_is_where_an_honest_agent_gains_nothing(population):
    setting = Setting(tasks=TASKS)
    honest = ~population.is_liar
    asks, p = agents_in(population).asks[honest], population.believed[honest]
    gain = p * asks - (1 - p) * setting.stake - population.cost[honest]
    assert np.abs(gain).max() < 1e-9
    bare = agents_in(population, is_stake_in_ask=False).asks[honest]
    assert np.allclose(bare * p, population.cost[honest])
    first = agents_in(population, rule=AwardRule.FIRST_PRICE).asks[honest]
    assert np.allclose(first, asks * 1.15)


def test_the_deviant_alone_asks_otherwise(population):
    usual, bent = agents_in(population).asks, agents_in(population, deviant=2, deviation=1.3).asks
    (changed,) = np.flatnonzero((usual != bent).any(1))
    assert changed == population.ranked[2]
    assert np.allclose(bent[changed], 1.3 * usual[changed])


def test_bidders_are_those_present_born_able_and_asking_little_enough(population):
    agents = agents_in(population)
    agents.arrive(range(TASKS))
    task = 700
    found = agents.bidders(task)
    kind = population.kind[task]
    for agent in range(population.agents):
        is_bidding = (
            population.is_present[task, agent]
            and population.born[agent] <= task
            and agents.asks[agent, kind] < drawn.HIGHEST_ASK
        )
        assert (agent in found) == is_bidding
    delays = population.delay[task, found]
    assert (np.diff(delays) >= 0).all()
    agents.market.out = {agents.members[found[0]].id}
    agents.look_around()
    assert agents.bidders(task) == found[1:]


def test_an_offer_carries_the_coin_of_each_bidder(population):
    agents = agents_in(population)
    agents.arrive(range(TASKS))
    offer = agents.offer(3, agents.bidders(3))
    for bid in offer.bids:
        agent = agents.by_id[bid.member]
        chance = population.success[agent, offer.kind]
        assert bid.is_good == (population.coin[3, agent] < chance)
        assert bid.ask_microcredits == microcredits(agents.asks[agent, offer.kind])


def test_liars_buy_from_requesters_of_their_own_alone_or_in_rings(population):
    liars = int(population.is_liar.sum())
    plain, alone, ring = (agents_in(population, attack=one) for one in (Attack.NONE, Attack.BUY, Attack.RING))
    for one in (plain, alone, ring):
        one.arrive(range(TASKS + 1))
    assert plain.market.traded == []
    assert len(alone.market.traded) == alone.bought == 100 * liars
    requesters = [offer.requester for offer in alone.market.traded]
    assert len(set(requesters)) == liars
    assert all(offer.bids[0].is_good and len(offer.bids) == 1 for offer in alone.market.traded)
    assert sum(offer.reserve_microcredits for offer in alone.market.traded[:100]) <= GRANT_MICROCREDITS
    by_liar = {}
    for offer in ring.market.traded:
        by_liar.setdefault(offer.bids[0].member, set()).add(offer.requester)
    assert all(len(found) == 4 for found in by_liar.values())
    assert len(set().union(*by_liar.values())) == 4 * -(-liars // 4)


def test_late_rings_buy_after_every_five_jobs_and_no_more_than_planned(population):
    agents = agents_in(population, attack=Attack.RING_LATE)
    agents.arrive(range(TASKS))
    agents.buy()
    assert agents.market.traded == []
    liar = next(agent for agent in agents.members if population.is_liar[agent])
    agents.members[liar].jobs = 5
    agents.buy()
    agents.buy()
    assert len(agents.market.traded) == 100
    agents.members[liar].jobs = 500
    for _ in range(3):
        agents.buy()
    assert len(agents.market.traded) == 200


def test_a_liar_that_is_found_out_returns_under_a_new_name_and_honest_agents_never(population):
    agents = agents_in(population, attack=Attack.RETURN)
    agents.arrive(range(TASKS))
    liar = int(np.flatnonzero(population.is_liar)[0])
    honest = int(np.flatnonzero(~population.is_liar)[0])
    before = {agent: member.id for agent, member in agents.members.items()}
    for agent in (liar, honest):
        agents.members[agent].jobs, agents.members[agent].successes = 8, 3
    agents.come_back()
    changed = [agent for agent, member in agents.members.items() if member.id != before[agent]]
    assert changed == [liar]
    assert (agents.members[liar].names, agents.members[liar].jobs) == (2, 0)
    agents.market.out = {agents.members[liar].id}
    agents.look_around()
    agents.come_back()
    assert agents.members[liar].names == 3


def test_a_ring_under_new_names_buys_from_new_requesters(population):
    agents = agents_in(population, attack=Attack.RING_AND_RETURN)
    agents.arrive(range(1))
    before = {offer.requester for offer in agents.market.traded}
    liars = [agent for agent in agents.members if population.is_liar[agent]]
    for agent in liars[:2]:
        agents.members[agent].jobs = 8
    bought = len(agents.market.traded)
    agents.come_back()
    after = agents.market.traded[bought:]
    assert len(after) == 200
    assert not before & {offer.requester for offer in after}


def test_work_under_an_old_name_does_not_count_for_the_new_one(population):
    agents = agents_in(population, attack=Attack.RETURN)
    agents.arrive(range(TASKS))
    liar = int(np.flatnonzero(population.is_liar)[0])
    old = agents.members[liar].id
    agents.members[liar].jobs = 8
    agents.come_back()
    assert agents.learn(Deal(old, 0, 1, is_verified=False, is_unproven=False)) == liar
    assert agents.members[liar].jobs == 0


def test_the_credit_is_set_so_that_a_grant_is_five_stakes():
    assert microcredits(Setting().stake) * GRANT_IN_STAKES == GRANT_MICROCREDITS
    assert microcredits(1.0) == CREDIT_MICROCREDITS


def test_settings_by_name():
    (plain,) = settings_of(None, None, None)
    assert (plain.attack, plain.rule, plain.tasks) == (Attack.NONE, AwardRule.COOLED, 4_000)
    assert [one.rule for one in settings_of("buy", ALL, 300)] == list(AwardRule)
    assert [one.attack for one in settings_of(ALL, "first-price", 300)] == list(Attack)


def trace_of(population, **changes):
    total = population.tasks
    trace = Trace(
        population, Setting(tasks=total), np.full(total, NOBODY), np.zeros(total, bool), np.zeros(total),
        np.zeros(total), np.full(total, 5.0), np.zeros(total, int), np.zeros(total, bool),
        np.zeros(population.agents), np.ones(population.agents, int), np.zeros(population.agents, bool), 0,
    )  # fmt: skip
    return replace(trace, **changes)


def test_utility_is_value_less_pay_and_the_loss_of_failures(population):
    total = population.tasks
    success = np.arange(total) < total // 2
    paid, lost = np.where(success, 4.0, 0.0), np.where(success, 0.0, 2.0)
    winner = np.full(total, int(np.flatnonzero(~population.is_liar)[0]))
    found = figures_of(trace_of(population, winner=winner, success=success, paid=paid, lost=lost))
    assert found.utility == pytest.approx((0.5 * 6.0 - 0.5 * 2.0 + 0.5 * 2.0) / 5.0)
    assert found.utility_without_stakes == pytest.approx((0.5 * 6.0 - 0.5 * 2.0) / 5.0)
    assert (found.settled, found.after_drift, found.liars_jobs) == (1.0, 0.0, 0.0)
    assert found.top_share == 1.0
    assert found.paid == 4.0
    assert found.star_tasks is None


def test_liars_jobs_and_the_star_are_counted(population):
    winner = np.full(TASKS, population.star)
    winner[:250] = int(np.flatnonzero(population.is_liar)[0])
    found = figures_of(trace_of(population, winner=winner))
    assert found.liars_jobs == 0.25
    assert found.star_tasks == 50
    (mean, never) = (over_seeds([found, found]), over_seeds([replace(found, star_tasks=None)]))
    assert (mean["liars_jobs"].mean, mean["liars_jobs"].error) == (0.25, 0.0)
    assert never["star_tasks"] is None


def test_oracle_knows_chance_and_cost_and_may_refuse(population):
    of = replace(
        population, success=np.full_like(population.success, 0.5), cost=np.full_like(population.cost, 3.0)
    )
    assert best_gain(of, 0, [1, 2]) == pytest.approx(0.5 * 12 - 3 - 2)
    assert best_gain(replace(of, cost=of.cost + 5), 0, [1, 2]) == 0.0
    assert best_gain(of, 0, []) == 0.0
