"""The market on the real platform: a virtual clock, either database, and the verbs that the API calls.

Stands where the rehearsal stands, behind the same marketplace. Tasks are posted by vouched requesters, bids
placed, windows awarded, leases taken, results handed in, verified and settled by the platform's own verbs,
many at a time; nothing of the platform is replaced but what the stage replaces. Its verifier knows the coin.
It never writes a row by itself.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from app.settings import Profile
from app.simulation.market.marketplace import Deal, Offer
from app.simulation.market.population import KINDS
from app.simulation.market.settings import Setting
from app.simulation.stage import Stage
from app.simulation.task_types import made_up_types, type_name
from services import meta_task_market
from services.domain.clock import SECOND_US
from services.domain.errors import NacreError
from services.domain.handoff import Handoff
from services.domain.market_invariants import Breach
from services.domain.states import TASK_ENDS, Scope, Standing, TaskKind, TaskState
from services.meta_task_market import Claim, NewBid, NewResult, SubmittedOutcome, TaskTerms
from services.operations import accounts, watchdog
from services.store import sql, tables

WINDOW_SECONDS = 10
PAUSE_US = SECOND_US
DEADLINE_US = 15 * SECOND_US
REQUESTERS = 10
NOTHING = Deal(None, 0, 0, is_verified=False, is_unproven=False)

T = TypeVar("T")

STARTING_VALUES: Mapping[str, str] = {
    "market.bid_window_seconds": str(WINDOW_SECONDS),
    "market.start_window_seconds": "60",
    "market.deadline_grace_seconds": "60",
    "sandbox.placebo_tasks": "0",
    "sandbox.holdout_percent": "0",
    "observatory.success_line_percent": "1",
}


def starting_values(setting: Setting) -> dict[str, str]:
    """Return the platform's values under a setting: its stake, and one award rule for every kind of work."""
    by_kind = {
        f"{type_name(kind)}.{name}": value
        for kind in range(KINDS)
        for name, value in (("award_rule", str(int(setting.rule))), ("maximum_attempts", "1"))
    }
    return {**STARTING_VALUES, "market.stake_percent": str(setting.stake_percent), **by_kind}


@dataclass
class Deployment:
    """The platform as a marketplace. Members are agents by their id; the trusted requesters take turns."""

    setting: Setting
    url: str
    folder: Path
    seed: int
    is_migrated: bool = False
    stage: Stage = field(init=False)
    requesters: list[int] = field(init=False)
    refused: list[NacreError] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    checks: int = 0
    posted: int = 0
    bids: int = 0
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the platform and register the requesters that an operator vouches for."""
        self.stage = Stage(
            self.url,
            self.folder,
            self.seed,
            is_migrated=self.is_migrated,
            profile=Profile.STANDARD,
            starting_values=starting_values(self.setting),
            task_types=made_up_types(KINDS, dials=0),
        )
        self.requesters = [
            self.stage.register(f"trusted_{number}", Scope.POST, owner="operator")
            for number in range(REQUESTERS)
        ]

    def close(self) -> None:
        """Close the database."""
        self.stage.close()

    def join(self, name: str) -> int:
        """Register an unvouched worker and return its id."""
        return self.stage.register(name, Scope.BID, owner=name, is_vouched=False)

    def join_as_requester(self, name: str) -> int:
        """Register an unvouched requester and return its id."""
        return self.stage.register(name, Scope.POST, owner=name, is_vouched=False)

    def trade(self, offers: Sequence[Offer]) -> list[Deal]:
        """Post all offers, take the bids, award, work, verify and settle; return the deals in that order."""
        numbers = self._timed("post", lambda: self._post(offers))
        by_task = {number: offer for number, offer in zip(numbers, offers, strict=True) if number is not None}
        self._timed("bid", lambda: self._bid(by_task))
        self.stage.clock.advance(WINDOW_SECONDS * SECOND_US)
        self._timed("award", self._award)
        self._timed("work", lambda: self._work(by_task))
        self._timed("settle", self.stage.deliver)
        self.stage.clock.advance(PAUSE_US)
        found = self._timed("look", lambda: self._deals(list(by_task)))
        return [NOTHING if number is None else found.get(number, NOTHING) for number in numbers]

    def _timed(self, name: str, act: Callable[[], T]) -> T:
        began = time.process_time()
        answer = act()
        self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - began
        return answer

    def _post(self, offers: Sequence[Offer]) -> list[int | None]:
        """Post the tasks; what is refused is kept, and is None."""
        with self.stage.write(self.requesters[0]) as tx:
            answers = meta_task_market.post_tasks(tx, [self._terms(offer) for offer in offers])
        self.refused += [answer for answer in answers if isinstance(answer, NacreError)]
        return [None if isinstance(answer, NacreError) else answer for answer in answers]

    def _terms(self, offer: Offer) -> TaskTerms:
        self.posted += 1
        return TaskTerms(
            TaskKind.USER,
            type_name(offer.kind),
            {"n": self.posted},
            {},
            offer.requester or self.requesters[self.posted % REQUESTERS],
            offer.reserve_microcredits,
            DEADLINE_US,
        )

    def _bid(self, offers: Mapping[int, Offer]) -> None:
        bids = [
            NewBid(bid.member, number, bid.ask_microcredits)
            for number, offer in offers.items()
            for bid in offer.bids
        ]
        with self.stage.write(self.requesters[0]) as tx:
            answers = meta_task_market.place_bids(tx, bids)
        self.refused += [answer for answer in answers if isinstance(answer, NacreError)]
        self.bids += len(bids)

    def _award(self) -> None:
        """Award everything whose window has closed."""
        while True:
            with self.stage.platform.store.write(actor="cron") as tx:
                if not sum(meta_task_market.award_due(tx, self.stage.entropy.randbytes).values()):
                    return

    def _work(self, offers: Mapping[int, Offer]) -> None:
        """Let every winner take its lease and hand in: what its coin says is what the verifier will find."""
        with self.stage.platform.store.read() as tx:
            won = sql.find_all(tx, tables.task, id=sorted(offers), state=TaskState.AWARDED)
        claims = [Claim(task["awarded_agent_id"], task["id"]) for task in won]
        with self.stage.write(self.requesters[0]) as tx:
            leases = meta_task_market.take_leases(tx, claims)
        self.stage.clock.advance(PAUSE_US)
        results = [
            NewResult(
                claim.agent_id,
                claim.task_id,
                lease.fencing_token,
                SubmittedOutcome.COMPLETED,
                None,
                Handoff("simulated", {"is_good": _is_good(offers[claim.task_id], claim.agent_id)}, ""),
            )
            for claim, lease in zip(claims, leases, strict=True)
            if not isinstance(lease, NacreError)
        ]
        with self.stage.write(self.requesters[0]) as tx:
            answers = meta_task_market.submit_results(tx, results)
        self.refused += [answer for answer in (*leases, *answers) if isinstance(answer, NacreError)]

    def _deals(self, numbers: Sequence[int]) -> dict[int, Deal]:
        """Return how the tasks ended, by their id; a task that nobody won is not there."""
        with self.stage.platform.store.read() as tx:
            tasks = sql.find_all(tx, tables.task, id=sorted(numbers))
            awards = {row["task_id"]: row for row in sql.find_all(tx, tables.award, task_id=sorted(numbers))}
        deals = {}
        for task in tasks:
            if task["id"] in awards and task["state"] in TASK_ENDS:
                award = awards[task["id"]]
                is_verified = task["state"] == TaskState.SETTLED
                deals[task["id"]] = Deal(
                    award["agent_id"],
                    task["paid_microcredits"],
                    0 if is_verified else award["stake_microcredits"],
                    is_verified,
                    bool(award["is_unproven"]),
                )
        return deals

    def shut_out(self, members: Collection[int], stake_microcredits: int) -> set[int]:
        """Return those that are suspended or cannot put up this stake."""
        owned = self.balances(members)
        with self.stage.platform.store.read() as tx:
            gone = sql.find_all(tx, tables.agent, standing=Standing.SUSPENDED)
        suspended = {row["id"] for row in gone}
        return {one for one in members if one in suspended or owned[one] < stake_microcredits}

    def balances(self, members: Collection[int]) -> Mapping[int, int]:
        """Return what these members own, in micro-credits."""
        owners = {accounts.agent_account(member): member for member in members}
        with self.stage.platform.store.read() as tx:
            found = sql.find_all(tx, tables.account, owner=sorted(owners))
        return {owners[row["owner"]]: row["balance"] for row in found}

    def check(self) -> int:
        """Recount every invariant over everything there is; keep what does not hold, return how many."""
        self.checks += 1
        with self.stage.platform.store.read() as tx:
            found = list(watchdog.check_all(tx))
        self.breaches += found
        return len(found)


def _is_good(offer: Offer, member: int) -> bool:
    return next(bid.is_good for bid in offer.bids if bid.member == member)
