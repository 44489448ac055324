"""What the simulated agents do: honest ones ask their break-even, liars ask little and buy what they lack.

Stands between the population and the marketplace. An honest agent's break-even under a stake S with its own
estimate p of success and cost c is (c + (1 − p)·S) / p: what it must ask to lose nothing on average, since it
is paid on success only and loses the stake on failure. It never reads the award rule's draws or others' bids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from app.simulation.market.marketplace import Bid, Deal, Marketplace, Offer
from app.simulation.market.population import HIGHEST_ASK, KINDS, LIAR_ASK, VALUE, Flags, Floats, Population
from app.simulation.market.settings import (
    LEAVE_AFTER_JOBS,
    LEAVE_BELOW_SUCCESS,
    PURCHASES,
    RETURNING,
    Purchase,
    Setting,
    microcredits,
)
from services.operations.agent_registry import GRANT_MICROCREDITS


@dataclass(slots=True)
class Member:
    """One agent under its present name: its id in the market and how its work under that name went."""

    id: int
    names: int = 1
    jobs: int = 0
    successes: int = 0
    purchases: int = 0

    @property
    def is_found_out(self) -> bool:
        """Tell whether a liar gives this name up."""
        return self.jobs >= LEAVE_AFTER_JOBS and self.successes < LEAVE_BELOW_SUCCESS * self.jobs


@dataclass
class Agents:
    """Everyone in the market: who is in under which name, what they ask, and what they do on the side."""

    population: Population
    setting: Setting
    market: Marketplace
    members: dict[int, Member] = field(default_factory=dict)
    by_id: dict[int, int] = field(default_factory=dict)
    rings: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    bought: int = 0
    asks: Floats = field(init=False)
    is_out: Flags = field(init=False)

    def __post_init__(self) -> None:
        """Fix what everyone asks; nothing here learns."""
        self.asks = self._asks()
        self.is_out = np.zeros(self.population.agents, bool)

    @property
    def deviant(self) -> int | None:
        """Return the agent whose ask is varied."""
        place = self.setting.deviant
        return None if place is None else int(self.population.ranked[place])

    def _asks(self) -> Floats:
        of = self.population
        stake = self.setting.stake if self.setting.is_stake_in_ask else 0.0
        even: Floats = (of.cost + (1.0 - of.believed) * stake) / of.believed
        asks = even * self.setting.margin
        asks[of.is_liar] = LIAR_ASK
        if self.deviant is not None:
            asks[self.deviant] = even[self.deviant] * self.setting.deviation
        return asks

    def arrive(self, tasks: range) -> None:
        """Let everyone join who is born by these tasks; liars buy their evidence first."""
        born = self.population.born
        for agent in np.flatnonzero(born < tasks.stop).tolist():
            if agent not in self.members:
                self.members[agent] = Member(0)
                self._enter(agent)

    def come_back(self) -> None:
        """Let every liar that is found out or shut out return under a new name, if the setting says so."""
        if self.setting.attack not in RETURNING:
            return
        for agent, member in self.members.items():
            if self.population.is_liar[agent] and (self.is_out[agent] or member.is_found_out):
                self.members[agent] = Member(0, member.names + 1)
                self._enter(agent)

    def _enter(self, agent: int) -> None:
        member = self.members[agent]
        member.id = self.market.join(f"agent_{agent:03d}_{member.names}")
        self.by_id[member.id] = agent
        self.is_out[agent] = False
        purchase = PURCHASES.get(self.setting.attack)
        if self.population.is_liar[agent] and purchase is not None and not purchase.every_jobs:
            self.market.trade(list(self._made_up(agent, purchase)))

    def buy(self) -> None:
        """Let every liar buy whose plan says that it is time."""
        purchase = PURCHASES.get(self.setting.attack)
        if purchase is None or not purchase.every_jobs:
            return
        for agent, member in self.members.items():
            if self.population.is_liar[agent]:
                due = min(member.jobs // purchase.every_jobs, purchase.times)
                if due > member.purchases and not self.is_out[agent]:
                    member.purchases = due
                    self.market.trade(list(self._made_up(agent, purchase)))

    def _made_up(self, agent: int, purchase: Purchase) -> Iterator[Offer]:
        """Yield the made-up tasks of a liar's requesters, which move those requesters' grants to the liar."""
        member = self.members[agent]
        reserve = GRANT_MICROCREDITS // (purchase.per_kind * KINDS * purchase.requesters * purchase.times)
        for requester in self._requesters(agent, purchase.requesters):
            for kind in range(KINDS):
                for _ in range(purchase.per_kind):
                    self.bought += 1
                    yield Offer(kind, reserve, (Bid(member.id, 1, is_good=True),), requester)

    def _requesters(self, agent: int, count: int) -> list[int]:
        """Return the requesters of the liar's ring, new ones for each name; alone, of the liar."""
        liars = np.flatnonzero(self.population.is_liar).tolist()
        ring = (liars.index(agent) // count, self.members[agent].names)
        if ring not in self.rings:
            name = f"requester_{ring[0]:03d}_{ring[1]}"
            self.rings[ring] = [self.market.join_as_requester(f"{name}_{n}") for n in range(count)]
        return self.rings[ring]

    def bidders(self, task: int) -> list[int]:
        """Return who bids on a task: present, in, not shut out, and asking less than the most one may."""
        of, kind = self.population, self.population.kind[task]
        present = of.is_present[task].copy()
        if self.deviant is not None:
            present[self.deviant] = True
        may = present & (of.born <= task) & ~self.is_out & (self.asks[:, kind] < HIGHEST_ASK)
        found = np.flatnonzero(may)
        return [int(agent) for agent in found[np.argsort(of.delay[task, found], kind="stable")]]

    def offer(self, task: int, bidders: list[int]) -> Offer:
        """Return the task with the bids that it draws, the quickest first."""
        kind = int(self.population.kind[task])
        chance = self.population.success_at(task)[:, kind]
        coin = self.population.coin[task]
        bids = [
            Bid(
                self.members[agent].id,
                microcredits(self.asks[agent, kind]),
                bool(coin[agent] < chance[agent]),
            )
            for agent in bidders
        ]
        return Offer(kind, microcredits(VALUE), bids)

    def learn(self, deal: Deal) -> int | None:
        """Note how a job ended and return whose it was."""
        if deal.member is None:
            return None
        agent = self.by_id[deal.member]
        member = self.members[agent]
        if member.id == deal.member:
            member.jobs += 1
            member.successes += int(deal.is_verified)
        return agent

    def look_around(self) -> None:
        """Learn who is shut out."""
        out = self.market.shut_out(
            [member.id for member in self.members.values()], microcredits(self.setting.stake)
        )
        for agent, member in self.members.items():
            self.is_out[agent] = member.id in out
