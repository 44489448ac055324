"""The award rule: which sealed bid wins a task, and what it will be paid.

Stands in the market (L4). One pure function from recorded bids, recorded records and a recorded seed to the
award, so that anyone can recompute it; the order of the bids changes nothing. It never reads claimed
confidence, names, owners or the time of a bid.

    score = θ · (V − ask + F) − F      V reserve price, F stake, all in micro-credits

θ, the agent's chance of success, comes from its record of verified outcomes (s, f of this task type; S, F
over all types; m the learned entrant rate), shrunk type → agent → entrant with two pseudo-jobs at each step:

    own = (S + 2m) / (S + F + 2)       a = s + 2·own       b = f + 2·(1 − own)

The draw, for anyone who wants to repeat it (`cooling` c, `seed` the recorded hexadecimal text):

    d = SHA-256 of the UTF-8 text "{seed}:{agent_id}"     n = first 8 bytes of d, big-endian, shifted right 12
    u = (n + 0.5) / 2**52                                 one uniform number in (0, 1) per seed and agent
    θ = u-quantile of Beta(c·a, c·b)                      inverse of the regularised incomplete beta function
    θ is rounded to the nearest multiple of 2**-32, at least 2**-32, at most 1

The guarded rule puts its fixed quantile in the place of u and takes c = 1; the greedy one takes θ = a/(a+b).
The inverse is exact to far below the rounding, so every sound implementation gets the same θ. Under the
second score the winner is paid the *critical ask*: the highest whole ask at which it would still have won
(Che 1993), never above V. Truthful per round only (Babaioff et al. 2009).

While `is_entry_full`, and if a proven bidder's a/(a+b) is above m, bids of unproven agents (fewer jobs than
`entry_jobs`) get θ = 0 and stand behind all others, whatever the rule.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from scipy.special import betaincinv

ENTRANT_WEIGHT: Final = 2.0
"""Pseudo-jobs at the entrant rate under an agent's record over all types (as in the market's simulation)."""
AGENT_WEIGHT: Final = 2.0
"""Pseudo-jobs at the agent's own rate under its record for a type (as in the market's simulation)."""
ENTRANT_DECAY: Final = 0.995
"""Factor on the learned entrant record with every outcome of an unproven agent (the simulation's)."""
ENTRANT_START: Final = (1.0, 1.0)
"""Successes and failures of entrants before anything was learned."""
ENTRY_WINDOW: Final = 100
"""How many of the latest awards the entry guard looks at."""
THETA_STEP: Final = 2.0**-32
"""Grid of θ: differences between implementations of the Beta inverse vanish in the rounding."""
SMALLEST_SHAPE: Final = 1e-3


class AwardRule(IntEnum):
    """How bids are ranked and paid; the values of `{type}.award_rule`."""

    COOLED = 0
    """Cooled draw, second score: the rule of the platform."""
    GUARDED = 1
    """Low quantile in place of the draw, second score: for work where a failure is dear."""
    FIRST_PRICE = 2
    """Cooled draw, the winner is paid its ask."""
    GREEDY = 3
    """Mean of the record in place of the draw, the winner is paid its ask."""
    LOWEST_PRICE = 4
    """The lowest ask; the earlier bid on a tie. For comparison."""
    FIRST_COME = 5
    """The earliest bid. For comparison."""

    @property
    def label(self) -> str:
        """Return the name that is kept with every award (at most 32 characters)."""
        return LABELS[self]

    @property
    def is_second_score(self) -> bool:
        """Tell whether the winner is paid the critical ask and not its own."""
        return self in (AwardRule.COOLED, AwardRule.GUARDED)


LABELS: Final = {
    AwardRule.COOLED: "cooled-draw-second-score",
    AwardRule.GUARDED: "low-quantile-second-score",
    AwardRule.FIRST_PRICE: "cooled-draw-first-price",
    AwardRule.GREEDY: "greedy-first-price",
    AwardRule.LOWEST_PRICE: "lowest-price",
    AwardRule.FIRST_COME: "first-come",
}


@dataclass(frozen=True, slots=True)
class SealedBid:
    """One bid with the agent's verified record: decayed weights for this type and over all types.

    `jobs` is the plain count of the agent's ended jobs over all types.
    """

    agent_id: int
    bid_id: int
    ask_microcredits: int
    type_successes: float
    type_failures: float
    all_successes: float
    all_failures: float
    jobs: int


@dataclass(frozen=True, slots=True)
class AwardTerms:
    """Everything besides the bids that the rule reads.

    `is_entry_full`: the share of the last `ENTRY_WINDOW` awards that went to unproven agents has reached
    `market.entry_percent`. `seed` is the recorded text, `entrant_rate` lies in (0, 1).
    """

    rule: AwardRule
    value_microcredits: int
    stake_microcredits: int
    seed: str
    cooling: float
    quantile: float
    entrant_rate: float
    entry_jobs: int
    is_entry_full: bool


class Draw(NamedTuple):
    """What one bid was judged by: θ (0 behind the entry guard), and what the rule ranked by, highest first.

    Scoring rules: the score in micro-credits. Lowest price: V − ask. First come: minus the bid's id.
    """

    agent_id: int
    theta: float
    score: float


@dataclass(frozen=True, slots=True)
class AwardDecision:
    """The winner, its pay, its stake, and every valid bid's draw (in the order of agent ids)."""

    agent_id: int
    price_microcredits: int
    stake_microcredits: int
    is_unproven: bool
    draws: tuple[Draw, ...]


def learn_entrant(successes: float, failures: float, *, is_verified: bool) -> tuple[float, float]:
    """Return the entrant record after one more outcome of an unproven agent; begin at `ENTRANT_START`."""
    return (
        successes * ENTRANT_DECAY + (1.0 if is_verified else 0.0),
        failures * ENTRANT_DECAY + (0.0 if is_verified else 1.0),
    )


def posterior(bid: SealedBid, entrant_rate: float) -> tuple[float, float]:
    """Return (a, b), the shapes of the Beta posterior, shrunk type → agent → entrant rate."""
    own = (bid.all_successes + ENTRANT_WEIGHT * entrant_rate) / (
        bid.all_successes + bid.all_failures + ENTRANT_WEIGHT
    )
    return bid.type_successes + AGENT_WEIGHT * own, bid.type_failures + AGENT_WEIGHT * (1.0 - own)


def uniform_of(seed: str, agent_id: int) -> float:
    """Return the agent's number in (0, 1) under this seed, as the module's recipe says."""
    digest = hashlib.sha256(f"{seed}:{agent_id}".encode()).digest()
    return ((int.from_bytes(digest[:8], "big") >> 12) + 0.5) * 2.0**-52


def score_of(theta: float, ask: int, value: int, stake: int) -> float:
    """Return θ · (V − ask + F) − F in micro-credits."""
    return theta * (value - ask + stake) - stake


def decide_award(bids: Sequence[SealedBid], terms: AwardTerms) -> AwardDecision | None:
    """Return the award among `bids`, or None when there is no bid at or under the reserve price."""
    value, stake = terms.value_microcredits, terms.stake_microcredits
    valid = sorted((b for b in bids if 0 <= b.ask_microcredits <= value), key=lambda b: b.agent_id)
    if not valid:
        return None
    shapes = [posterior(bid, terms.entrant_rate) for bid in valid]
    barred = _behind_the_guard(valid, shapes, terms)
    thetas = [
        0.0 if is_barred else theta
        for theta, is_barred in zip(_thetas(valid, shapes, terms), barred, strict=True)
    ]
    keys = sorted(
        (is_barred, *_rank(bid, theta, terms), bid.agent_id, place)
        for place, (bid, theta, is_barred) in enumerate(zip(valid, thetas, barred, strict=True))
    )
    place = int(keys[0][-1])
    winner = valid[place]
    price = winner.ask_microcredits
    if terms.rule.is_second_score:
        price = _critical_ask(winner, thetas[place], keys, terms)
    return AwardDecision(
        winner.agent_id,
        price,
        stake,
        winner.jobs < terms.entry_jobs,
        tuple(
            Draw(bid.agent_id, theta, _shown_score(bid, theta, terms))
            for bid, theta in zip(valid, thetas, strict=True)
        ),
    )


def _behind_the_guard(
    bids: Sequence[SealedBid], shapes: Sequence[tuple[float, float]], terms: AwardTerms
) -> list[bool]:
    """Tell for each bid whether the entry guard puts it behind the others."""
    is_closed = terms.is_entry_full and any(
        bid.jobs >= terms.entry_jobs and a / (a + b) > terms.entrant_rate
        for bid, (a, b) in zip(bids, shapes, strict=True)
    )
    return [is_closed and bid.jobs < terms.entry_jobs for bid in bids]


def _thetas(
    bids: Sequence[SealedBid], shapes: Sequence[tuple[float, float]], terms: AwardTerms
) -> list[float]:
    """Return each bid's θ: the mean of its posterior, or a quantile on the grid of `THETA_STEP`."""
    if terms.rule in (AwardRule.GREEDY, AwardRule.LOWEST_PRICE, AwardRule.FIRST_COME):
        return [max(a / (a + b), THETA_STEP) for a, b in shapes]
    is_guarded = terms.rule is AwardRule.GUARDED
    factor = 1.0 if is_guarded else terms.cooling
    points = [terms.quantile if is_guarded else uniform_of(terms.seed, bid.agent_id) for bid in bids]
    raw = betaincinv(
        [max(a * factor, SMALLEST_SHAPE) for a, _ in shapes],
        [max(b * factor, SMALLEST_SHAPE) for _, b in shapes],
        points,
    ).tolist()
    return [max(round(theta / THETA_STEP), 1) * THETA_STEP for theta in raw]


def _rank(bid: SealedBid, theta: float, terms: AwardTerms) -> tuple[float, int]:
    """Return what the bid is ranked by, lowest first: minus merit and the ask, or the plain rules' keys.

    Merit is the score plus F: its rounding never makes two asks alike, which the score's may.
    """
    if terms.rule is AwardRule.LOWEST_PRICE:
        return float(bid.ask_microcredits), bid.bid_id
    if terms.rule is AwardRule.FIRST_COME:
        return float(bid.bid_id), 0
    return -_merit(bid.ask_microcredits, theta, terms), bid.ask_microcredits


def _merit(ask: int, theta: float, terms: AwardTerms) -> float:
    return theta * (terms.value_microcredits - ask + terms.stake_microcredits)


def _shown_score(bid: SealedBid, theta: float, terms: AwardTerms) -> float:
    if terms.rule is AwardRule.LOWEST_PRICE:
        return float(terms.value_microcredits - bid.ask_microcredits)
    if terms.rule is AwardRule.FIRST_COME:
        return float(-bid.bid_id)
    return score_of(theta, bid.ask_microcredits, terms.value_microcredits, terms.stake_microcredits)


def _critical_ask(
    winner: SealedBid,
    theta: float,
    keys: Sequence[tuple[bool, float, int, int, int]],
    terms: AwardTerms,
) -> int:
    """Return the highest whole ask, at most V, at which the winner's key still comes before the next one."""
    value = terms.value_microcredits
    if len(keys) == 1:
        return value
    is_barred, rival = keys[0][0], keys[1]

    def wins(ask: int) -> bool:
        return (is_barred, -_merit(ask, theta, terms), ask, winner.agent_id) < rival[:4]

    ceiling = value + terms.stake_microcredits + rival[1] / theta if theta else float(value)
    price = max(winner.ask_microcredits, min(value, int(ceiling)))
    while price > winner.ask_microcredits and not wins(price):
        price -= 1
    while price < value and wins(price + 1):
        price += 1
    return price
