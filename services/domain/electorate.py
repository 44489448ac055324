"""Who may vote on a change: the units of an electorate, and who leaves it for a conflict of interest.

Stands between the agents that are eligible and the vote. One controller has one ballot where anybody may
register agents (`owner`); each agent has one where an operator registers them all (`agent`). It never
counts ballots, and it never reads a text.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.domain.states import ElectorateMode

PROPOSER: Final = "proposer"
SAME_OWNER: Final = "same owner as the proposer"
PAID: Final = "paid by what the change sets"


@dataclass(frozen=True, slots=True)
class Voter:
    """An agent that may vote: of tenure and standing enough, and active."""

    agent_id: int
    owner: str


@dataclass(frozen=True, slots=True)
class Electorate:
    """`units`: each elector's unit (`agent:3` or `owner:acme`); `conflicts`: why others have no ballot."""

    units: dict[int, str]
    conflicts: dict[int, str]
    proposer_unit: str

    @property
    def names(self) -> list[str]:
        """Return the units that have a ballot, sorted."""
        return sorted(set(self.units.values()))


def form(
    voters: Sequence[Voter], *, proposer: Voter, paid: Collection[int], mode: ElectorateMode
) -> Electorate:
    """Return the electorate of a change of `proposer`; `paid` are the agents whose pay the change sets.

    Per owner, a conflict of one agent is one of its owner: all its agents leave. More agents of one owner
    never weigh more, and an owner that is split over more agents keeps its one ballot.
    """
    conflicts = {proposer.agent_id: PROPOSER}
    conflicts |= {voter.agent_id: PAID for voter in voters if voter.agent_id in paid} | conflicts
    if mode is ElectorateMode.OWNER:
        paid_owners = {voter.owner for voter in voters if voter.agent_id in paid}
        for voter in voters:
            if voter.owner == proposer.owner:
                conflicts.setdefault(voter.agent_id, SAME_OWNER)
            elif voter.owner in paid_owners:
                conflicts.setdefault(voter.agent_id, PAID)
    free = [voter for voter in voters if voter.agent_id not in conflicts]
    units = {voter.agent_id: unit_of(voter, mode) for voter in free}
    return Electorate(units, conflicts, unit_of(proposer, mode))


def unit_of(voter: Voter, mode: ElectorateMode) -> str:
    """Return the unit whose ballot an agent casts: itself, or its owner."""
    return f"owner:{voter.owner}" if mode is ElectorateMode.OWNER else f"agent:{voter.agent_id}"
