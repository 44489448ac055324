"""What the simulated agents see of a market: join it, offer work, bid, and learn how the work ended.

Stands between the agents and either the real platform or the rehearsal over its pure rules; the same agents
drive both. It never tells an agent what another one bid.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Bid(NamedTuple):
    """A bid of the member under this id; `is_good` is how its work would end, which nobody knows before."""

    member: int
    ask_microcredits: int
    is_good: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A task and the bids that it draws, in the order of their arrival; `requester` None is a trusted one."""

    kind: int
    reserve_microcredits: int
    bids: Sequence[Bid]
    requester: int | None = None


class Deal(NamedTuple):
    """How an offer ended: nobody's (None), or the winner's, with what it was paid and what it lost.

    `valid` is how many bids took part in the award.
    """

    member: int | None
    paid_microcredits: int
    lost_microcredits: int
    is_verified: bool
    is_unproven: bool


class Marketplace(Protocol):
    """A market that can be driven in steps; the work of one step is settled before the next begins."""

    def join(self, name: str) -> int:
        """Register an unvouched worker and return its id."""

    def join_as_requester(self, name: str) -> int:
        """Register an unvouched requester and return its id."""

    def trade(self, offers: Sequence[Offer]) -> list[Deal]:
        """Post all offers, take the bids, award, work, verify and settle; return the deals in that order."""

    def shut_out(self, members: Collection[int], stake_microcredits: int) -> set[int]:
        """Return those that are suspended or cannot put up this stake."""

    def balances(self, members: Collection[int]) -> Mapping[int, int]:
        """Return what these members own, in micro-credits."""
