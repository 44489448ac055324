"""What the platform's nights have learned, as an investigator reads it: more than a window shows.

Reading only. Values under which work went well or badly before, how long work took that was given more time,
which settings are ranked first, and what was tried in vain. Words of failures are data that nothing is
decided by. It never draws a conclusion: `diagnosis` does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from app.agents.client import ApiProblem, JsonObject, NacreClient
from app.agents.evidence import Attempted

PAGES = 4
PAGE_SIZE = 500
FIRST_TASKS = 30  # the first days of a value count as its beginning up to so many tasks
NOT_IN_VAIN = frozenset({"win", "running", "inquorate"})  # supported, undecided, or never judged


@dataclass(frozen=True, slots=True)
class Remembered:
    """How tasks of a type went under one value of one parameter.

    `durations` are (seconds, tasks) of those that ended by themselves, each to within 5 %;
    `first_rate` is the success rate when the value was new.
    """

    task_type: str
    parameter: str
    value: float
    tasks: int
    failures: int
    timed_out: int
    durations: tuple[tuple[float, int], ...]
    first_rate: float

    @property
    def success_rate(self) -> float:
        """The share that was verified; 0 without tasks."""
        return 1.0 - self.failures / self.tasks if self.tasks else 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Settings by the values they had, the platform's ranking of them, and what was tried in vain."""

    settings: Sequence[Remembered] = ()
    ranks: Mapping[str, int] = field(default_factory=dict)
    in_vain: Sequence[Attempted] = ()

    def under(self, task_type: str, parameter: str) -> list[Remembered]:
        """The values that a parameter of a type had."""
        return [one for one in self.settings if (one.task_type, one.parameter) == (task_type, parameter)]

    def rank(self, parameter: str) -> float:
        """The place of a parameter among the candidates, infinite for none."""
        return self.ranks.get(parameter, math.inf)


def recalled(client: NacreClient) -> Memory:
    """Read the patterns; a platform that keeps none has no memory."""
    try:
        settings = list(client.items("/patterns", pages=PAGES, limit=PAGE_SIZE, kind="setting"))
        candidates = list(client.items("/patterns", pages=1, limit=PAGE_SIZE, kind="candidate"))
    except ApiProblem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return Memory()
    return memory_of(settings, candidates)


def memory_of(settings: Sequence[JsonObject], candidates: Sequence[JsonObject]) -> Memory:
    """The memory in patterns of the contract."""
    ranks = {str(one["facts"]["parameter"]): int(one["facts"]["rank"]) for one in candidates}
    in_vain = [
        Attempted(str(one["facts"]["parameter"]), float(tried["value"]), str(tried["how"]))
        for one in candidates
        for tried in one["facts"]["tried"]
        if tried["how"] not in NOT_IN_VAIN
    ]
    return Memory([remembered(one) for one in settings], ranks, in_vain)


def remembered(pattern: Mapping[str, Any]) -> Remembered:
    """One pattern of kind `setting`."""
    facts = pattern["facts"]
    return Remembered(
        str(pattern["task_type"]),
        str(facts["parameter"]),
        float(facts["value"]),
        int(pattern["tasks"]),
        int(pattern["failures"]),
        int(facts["timed_out"]),
        tuple((float(one["seconds"]), int(one["tasks"])) for one in facts["durations"]),
        _first_rate(facts["by_day"]),
    )


def _first_rate(days: Sequence[Mapping[str, Any]]) -> float:
    tasks = failures = 0
    for day in days:
        tasks += int(day["tasks"])
        failures += int(day["failures"])
        if tasks >= FIRST_TASKS:
            break
    return 1.0 - failures / tasks if tasks else 0.0
