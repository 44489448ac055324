"""The embedded fleet as one table: which agents run, and exactly what each may call.

The supervisor starts what stands here and nothing else. Those that vote are vouched for by the operator who
registers them, for they hand in no work that could earn them a standing. No key ever stands here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

OWNER = "nacre"
REQUESTER_OWNER = "demonstration"  # who asks for work is not who does it: records count counterparties


class Scope(StrEnum):
    """What a key may do beyond reading."""

    POST = "post"
    BID = "bid"
    PROPOSE = "propose"
    VOTE = "vote"


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent: the module to run, its scopes, settings for its environment (no secrets), and which further
    variables of the platform's environment it inherits where they are set.
    """

    name: str
    module: str
    scopes: tuple[Scope, ...]
    owner: str = OWNER
    is_vouched: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    inherits: tuple[str, ...] = ()


def _spec(name: str, *scopes: Scope, is_vouched: bool = False, owner: str = OWNER) -> AgentSpec:
    return AgentSpec(name, f"app.agents.{name}", scopes, owner, is_vouched)


def _worker(name: str) -> AgentSpec:
    """A worker, which may read the document folder and, with the operator's key, ask Claude."""
    inherits = ("NACRE_DOCUMENT_ROOT", "ANTHROPIC_API_KEY", "NACRE_CLAUDE_MODEL")
    return replace(_spec(name, Scope.BID), inherits=inherits)


FLEET: tuple[AgentSpec, ...] = (
    _worker("worker_careful"),
    _worker("worker_steady"),
    _worker("worker_quick"),
    _worker("worker_hasty"),
    _spec("diagnostician_latency", Scope.BID, Scope.PROPOSE, Scope.VOTE, is_vouched=True),
    _spec("diagnostician_quality", Scope.BID, Scope.PROPOSE, Scope.VOTE, is_vouched=True),
    _spec("voter_evidence", Scope.VOTE, is_vouched=True),
    _spec("voter_power", Scope.VOTE, is_vouched=True),
    _spec("voter_caution", Scope.VOTE, is_vouched=True),
    _spec("voter_cost", Scope.VOTE, is_vouched=True),
    _spec("voter_sceptic", Scope.VOTE, is_vouched=True),
)
"""The agents that serve any platform."""

REQUESTER = _spec("requester", Scope.POST, is_vouched=True, owner=REQUESTER_OWNER)
"""The agent that asks for the demonstration's work, vouched for so that its account is filled."""


def demonstration_fleet(
    documents_url: str, *, rate_per_second: float = 6.0, seed: int = 7
) -> tuple[AgentSpec, ...]:
    """The fleet and its requester, which reads its documents at `documents_url` (loopback)."""
    environment = (
        ("NACRE_DOCUMENTS_URL", documents_url),
        ("NACRE_RATE_PER_SECOND", f"{rate_per_second:g}"),
        ("NACRE_SEED", str(seed)),
    )
    return (*FLEET, replace(REQUESTER, environment=environment))


def named(names: Iterable[str]) -> tuple[AgentSpec, ...]:
    """Those agents of the fleet that are named, in the table's order.

    Raises:
        KeyError: there is no such agent.
    """
    wanted = set(names)
    unknown = wanted - {spec.name for spec in FLEET}
    if unknown:
        raise KeyError(f"the fleet has no agent {min(unknown)!r}")
    return tuple(spec for spec in FLEET if spec.name in wanted)
