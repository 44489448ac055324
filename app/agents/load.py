"""The mixed load that the requester posts: which task comes n-th, from a seed. Pure.

Research questions ask for words that stand somewhere in three of a source's documents; the other types
come from named models, systems and data sets, with their figures drawn. It never posts and never times
anything.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.tasks.research_synthesis.documents import sentences

Payload: TypeAlias = dict[str, Any]

WEIGHTS: Mapping[str, float] = {
    "research_synthesis": 0.65,
    "monte_carlo": 0.13,
    "physics_simulation": 0.12,
    "ml_training": 0.10,
}
DOCUMENTS_PER_QUESTION = 3
WORDS_PER_DOCUMENT = 2
COVERAGE = 0.6
LONG_WORD = re.compile(r"[a-z]{6,}")


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a source."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task to post."""

    type: str
    payload: Payload


def wanted_task(number: int, seed: int, documents: Sequence[Document]) -> Wanted:
    """The `number`-th task of the load: the same for the same seed and documents.

    With fewer documents than a question needs there are no research tasks; the other types take their share.
    """
    draw = random.Random(f"{seed}:{number}")
    can_ask = len(documents) >= DOCUMENTS_PER_QUESTION
    types = [name for name in WEIGHTS if can_ask or name != "research_synthesis"]
    name = draw.choices(types, [WEIGHTS[one] for one in types])[0]
    if name == "research_synthesis":
        return Wanted(name, _question(draw, documents))
    return Wanted(name, MAKERS[name](draw))


def _question(draw: random.Random, documents: Sequence[Document]) -> Payload:
    chosen = draw.sample(documents, DOCUMENTS_PER_QUESTION)
    first, second, third = (" and ".join(_words(draw, document.text)) for document in chosen)
    return {
        "question": f"What is it about {first}, about {second}, and about {third}?",
        "urls": [document.url for document in chosen],
        "minimum_citations": DOCUMENTS_PER_QUESTION,
        "minimum_coverage": COVERAGE,
    }


def _words(draw: random.Random, text: str) -> list[str]:
    """The longest words of one sentence after the first, in their order of appearance."""
    rich = [words for words in map(_long_words, sentences(text)[1:]) if len(words) >= WORDS_PER_DOCUMENT]
    words = draw.choice(rich) if rich else _long_words(text)
    longest = sorted(words, key=lambda word: (-len(word), word))[:WORDS_PER_DOCUMENT]
    return [word for word in words if word in longest]


def _long_words(text: str) -> list[str]:
    return list(dict.fromkeys(LONG_WORD.findall(text.lower())))


def _monte_carlo(draw: random.Random) -> Payload:
    option = {
        "name": "european_option",
        "kind": draw.choice(["call", "put"]),
        "spot": 100.0,
        "strike": draw.choice([90.0, 100.0, 110.0]),
        "rate_per_year": 0.03,
        "volatility_per_root_year": draw.choice([0.2, 0.3]),
        "maturity_years": 1.0,
    }
    pi: Payload = {"name": "pi_integral"}
    gaussian: Payload = {"name": "gaussian_integral", "dimensions": draw.randint(2, 4)}
    model = draw.choice([option, pi, gaussian])
    return {"model": model, "samples": 100_000, "minimum_samples": 50_000, "seed": draw.getrandbits(32)}


def _physics(draw: random.Random) -> Payload:
    kepler = {"name": "kepler", "eccentricity": draw.choice([0.1, 0.3, 0.5])}
    pendulum = {"name": "pendulum", "length_metres": 1.0, "angle_radians": draw.choice([0.5, 1.0, 2.0])}
    oscillator = {
        "name": "damped_oscillator",
        "natural_frequency_per_second": draw.choice([1.0, 2.0]),
        "damping_ratio": 0.1,
        "position": 1.0,
    }
    system = draw.choice([kepler, pendulum, oscillator])
    return {"system": system, "duration_seconds": 10.0, "points": 40, "seed": draw.getrandbits(32)}


def _ml_training(draw: random.Random) -> Payload:
    return {"data_set": draw.choice(["wine", "breast_cancer"]), "folds": 2, "seed": draw.getrandbits(32)}


MAKERS: Mapping[str, Callable[[random.Random], Payload]] = {
    "monte_carlo": _monte_carlo,
    "physics_simulation": _physics,
    "ml_training": _ml_training,
}
