"""The award rule: which sealed bid wins a task, and what it will be paid.

Stands in the market (L4). One pure function from recorded bids, recorded records and a recorded seed to the
award, so that anyone can recompute it; the order of the bids changes nothing. Claimed confidence never
enters.

    score = θ · (V − ask + F) − F,   θ ~ Beta(counts shrunk type → agent → entrant, cooled)

The winner is paid the *critical ask*: the highest ask at which it would still have won (second score,
Che 1993), never above the reserve price V. Truthful per round only (Babaioff et al. 2009).
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

RULE_NAME = "cooled-thompson-second-score"
ENTRANT_RATE = 0.7
ENTRANT_WEIGHT = 4.0
AGENT_WEIGHT = 6.0


@dataclass(frozen=True, slots=True)
class SealedBid:
    """One bid with the agent's verified record: decayed weights for this type, and over all types."""

    agent_id: int
    ask_microcredits: int
    type_successes: float
    type_failures: float
    all_successes: float
    all_failures: float


@dataclass(frozen=True, slots=True)
class AwardDecision:
    """The winner, its pay, its stake, and every bid's draw and score (in the order of agent ids)."""

    agent_id: int
    price_microcredits: int
    stake_microcredits: int
    thetas: tuple[tuple[int, float, float], ...]


def expected_rate(bid: SealedBid) -> tuple[float, float]:
    """Return (mean, weight) of the agent's success on this type, shrunk type → agent → entrant rate."""
    agent_weight = bid.all_successes + bid.all_failures
    agent_mean = (bid.all_successes + ENTRANT_RATE * ENTRANT_WEIGHT) / (agent_weight + ENTRANT_WEIGHT)
    type_weight = bid.type_successes + bid.type_failures
    mean = (bid.type_successes + agent_mean * AGENT_WEIGHT) / (type_weight + AGENT_WEIGHT)
    return mean, type_weight + AGENT_WEIGHT


def draw_theta(bid: SealedBid, seed: str, cooling: float) -> float:
    """Return this agent's θ: a Beta draw from (seed, agent id) alone, so order cannot matter."""
    mean, weight = expected_rate(bid)
    digest = hashlib.sha256(f"{seed}:{bid.agent_id}".encode()).digest()
    generator = random.Random(int.from_bytes(digest[:8], "big"))
    concentration = weight * cooling
    return generator.betavariate(max(mean * concentration, 1e-3), max((1 - mean) * concentration, 1e-3))


def score_of(theta: float, ask: int, value: int, stake: int) -> float:
    """Return θ · (V − ask + F) − F in micro-credits."""
    return theta * (value - ask + stake) - stake


def decide_award(
    bids: Sequence[SealedBid], *, value_microcredits: int, stake_microcredits: int, seed: str, cooling: float
) -> AwardDecision | None:
    """Return the award among `bids`, or None when there is no bid at or under the reserve price.

    The score falls in the ask, so the critical ask solves score(θ, ask*) = best other score (or = −F, the
    score of certain failure, when nobody else bid, which means the reserve price).
    """
    valid = sorted(
        (b for b in bids if 0 <= b.ask_microcredits <= value_microcredits), key=lambda b: b.agent_id
    )
    if not valid:
        return None
    drawn = [(bid, draw_theta(bid, seed, cooling)) for bid in valid]
    scored = [
        (score_of(theta, bid.ask_microcredits, value_microcredits, stake_microcredits), bid, theta)
        for bid, theta in drawn
    ]
    ranked = sorted(scored, key=lambda row: (-row[0], row[1].ask_microcredits, row[1].agent_id))
    _, winner, theta = ranked[0]
    price = value_microcredits
    if len(ranked) > 1:
        rival = ranked[1][0]
        critical = value_microcredits + stake_microcredits - (rival + stake_microcredits) / max(theta, 1e-9)
        price = min(value_microcredits, max(winner.ask_microcredits, int(critical)))
    table = tuple((bid.agent_id, theta_, score) for score, bid, theta_ in scored)
    return AwardDecision(winner.agent_id, price, stake_microcredits, table)
