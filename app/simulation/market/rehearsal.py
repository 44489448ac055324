"""The market in memory: the same pure rules as the platform's, nothing stored, for fast looks and for checks.

Stands where the real platform stands, behind the same marketplace: award, record, standing and money follow
`services.domain`, and only the verbs are missing. A figure of the real market that differs from this one's by
more than chance is a fault in one of the two. It is never reported as the platform's.
"""

import random
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.simulation.market.marketplace import Bid, Deal, Offer
from app.simulation.market.settings import Setting
from services.domain.auction import (
    ENTRANT_START,
    ENTRY_WINDOW,
    AwardTerms,
    SealedBid,
    decide_award,
    learn_entrant,
)
from services.domain.parameters import PLATFORM_PARAMETERS
from services.domain.reputation import AgentState, Outcome, Record, StandingRules, fold, refold
from services.domain.states import OutcomeKind, Standing
from services.operations.agent_registry import GRANT_MICROCREDITS

DEFAULTS: Mapping[str, float] = {
    item.name: float(item.default) for item in PLATFORM_PARAMETERS if item.task_type == "market"
}


@dataclass
class Rehearsal:
    """A market without a platform; ids are numbers in the order of joining."""

    setting: Setting
    rng: random.Random
    states: dict[int, AgentState] = field(default_factory=dict)
    money: dict[int, int] = field(default_factory=dict)
    entrants: tuple[float, float] = ENTRANT_START
    latest: deque[bool] = field(default_factory=lambda: deque(maxlen=ENTRY_WINDOW))
    members: int = 0
    bids: int = 0
    rules: StandingRules = field(init=False)

    def __post_init__(self) -> None:
        """Take the limits that are registered."""
        self.rules = StandingRules(
            int(DEFAULTS["market.crash_limit"]),
            DEFAULTS["market.counterparty_jobs"],
            int(DEFAULTS["market.entry_jobs"]),
        )

    def join(self, name: str) -> int:
        """Register an unvouched worker and return its id."""
        del name
        self.members += 1
        self.states[self.members] = refold((), self.rules, is_vouched=False)
        self.money[self.members] = GRANT_MICROCREDITS
        return self.members

    def join_as_requester(self, name: str) -> int:
        """Register an unvouched requester and return its id."""
        return self.join(name)

    def shut_out(self, members: Collection[int], stake_microcredits: int) -> set[int]:
        """Return those that are suspended or cannot put up this stake."""
        return {
            member
            for member in members
            if self.states[member].standing is Standing.SUSPENDED or self.money[member] < stake_microcredits
        }

    def balances(self, members: Collection[int]) -> Mapping[int, int]:
        """Return what these members own, in micro-credits."""
        return {member: self.money[member] for member in members}

    def trade(self, offers: Sequence[Offer]) -> list[Deal]:
        """Award all offers, then let the work end."""
        awarded = [self._award(offer) for offer in offers]
        return [
            self._settle(offer, won, price, stake, is_unproven=is_unproven)
            for offer, won, price, stake, is_unproven in awarded
        ]

    def _award(self, offer: Offer) -> tuple[Offer, Bid | None, int, int, bool]:
        self.bids += len(offer.bids)
        stake = offer.reserve_microcredits * self.setting.stake_percent // 100
        requester, reserve = offer.requester, offer.reserve_microcredits
        if requester is not None and self.money[requester] < reserve:
            return offer, None, 0, 0, False
        decision = decide_award(self._sealed(offer, stake), self._terms(offer, stake))
        if decision is None:
            return offer, None, 0, 0, False
        if requester is not None:
            self.money[requester] -= reserve
        self.latest.append(decision.is_unproven)
        self.money[decision.agent_id] -= stake
        won = next(bid for bid in offer.bids if bid.member == decision.agent_id)
        return offer, won, decision.price_microcredits, stake, decision.is_unproven

    def _terms(self, offer: Offer, stake: int) -> AwardTerms:
        good, bad = self.entrants
        limit = DEFAULTS["market.entry_percent"] / 100 * ENTRY_WINDOW
        return AwardTerms(
            self.setting.rule,
            offer.reserve_microcredits,
            stake,
            self.rng.randbytes(16).hex(),
            DEFAULTS["market.cooling"],
            DEFAULTS["market.guard_quantile"],
            good / (good + bad),
            int(DEFAULTS["market.entry_jobs"]),
            sum(self.latest) >= limit,
        )

    def _sealed(self, offer: Offer, stake: int) -> list[SealedBid]:
        kind, unknown = str(offer.kind), Record()
        sealed = []
        for place, bid in enumerate(offer.bids):
            state = self.states[bid.member]
            if state.standing is Standing.SUSPENDED or self.money[bid.member] < stake:
                continue
            record = state.records.get(kind, unknown)
            sealed.append(
                SealedBid(
                    bid.member, place, bid.ask_microcredits, record.success_weight, record.failure_weight,
                    state.success_weight, state.failure_weight, state.settled_jobs,
                )
            )  # fmt: skip
        return sealed

    def _settle(
        self, offer: Offer, won: Bid | None, price_microcredits: int, stake: int, *, is_unproven: bool
    ) -> Deal:
        if won is None:
            return Deal(None, 0, 0, is_verified=False, is_unproven=False)
        kind = OutcomeKind.VERIFIED if won.is_good else OutcomeKind.FAILED
        self.states[won.member] = fold(
            self.states[won.member], Outcome(kind, str(offer.kind), offer.requester), self.rules
        )
        if is_unproven and offer.requester is None:
            self.entrants = learn_entrant(*self.entrants, is_verified=won.is_good)
        paid, lost = (price_microcredits, 0) if won.is_good else (0, stake)
        self.money[won.member] += paid + stake - lost
        if offer.requester is not None:
            self.money[offer.requester] += offer.reserve_microcredits - paid
        return Deal(won.member, paid, lost, won.is_good, is_unproven)
