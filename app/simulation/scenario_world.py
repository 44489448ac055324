"""A scenario at work: one stage, its fleet, its proposers and its environment, stepped until all is decided.

Stands under the runner. Each step of virtual time hands in what is done, fires the jobs, delivers the events
and lets the agents act; every role draws from a generator of its own, all seeded from one seed. It counts
nothing: the report reads the ledger and the tables.
"""

import random
from collections.abc import Callable
from pathlib import Path

from app.settings import Profile
from app.simulation.environment import Environment
from app.simulation.fleet import Fleet
from app.simulation.proposers import Proposers
from app.simulation.scenarios import LAPS, Scenario
from app.simulation.stage import Stage
from app.simulation.task_types import made_up_types, type_name
from services.domain.clock import seconds
from services.domain.states import EpisodeState
from services.store import sql, tables

STEPS_PER_TASK_CAP = 40
"""A simulation that has not ended after this many times its cap of tasks gives up, and says so."""


class ScenarioWorld:
    """One run of a scenario over one database."""

    def __init__(
        self, scenario: Scenario, seed: int, url: str, folder: Path, *, is_migrated: bool = True
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        kinds = len(scenario.bases)
        self.stage = Stage(
            url,
            folder,
            seed,
            is_migrated=is_migrated,
            profile=Profile.STANDARD,
            starting_values=scenario.starting_values,
            intervals_seconds=scenario.intervals_seconds,
            task_types=made_up_types(kinds),
        )
        levels = {type_name(number): base for number, base in enumerate(scenario.bases)}
        self.environment = Environment(
            self._generator("environment"), levels, scenario.trend, scenario.is_failing_slowly
        )
        self.fleet = Fleet(
            self.stage, self.environment, self._generator("fleet"), scenario.workers, scenario.bidders
        )
        ability = self._generator("abilities")
        for agent_id in self.fleet.workers:
            self.environment.abilities[agent_id] = ability.gauss(0.0, scenario.ability_sd)
        ideas = scenario.ideas(self._generator("ideas"), scenario.bases)
        self.proposers = Proposers(
            self.stage,
            self.environment,
            self.fleet,
            self._generator("proposers"),
            ideas,
            scenario.suffixes,
            scenario.cap_tasks,
            scenario.warm_up_seconds,
            laps=scenario.count if self.is_in_laps else None,
            proposals=None if self.is_in_laps else scenario.count,
        )
        self.open_laps: dict[str, int] = {}
        self.laps = 0
        self.is_complete = False

    def _generator(self, role: str) -> random.Random:
        return random.Random(f"{self.seed}:{self.scenario.name}:{role}")

    def run(self, on_step: Callable[["ScenarioWorld"], None]) -> None:
        """Step until every lap or proposal is decided, or until it has taken absurdly long."""
        scenario = self.scenario
        rounds = scenario.count // len(scenario.bases) + 2
        for _ in range(STEPS_PER_TASK_CAP * rounds * scenario.cap_tasks // scenario.tasks_per_step):
            self.step()
            on_step(self)
            if self._is_over():
                self.is_complete = True
                break

    def step(self) -> None:
        """Let one step of virtual time pass."""
        self.stage.clock.advance(seconds(self.scenario.step_seconds))
        self.fleet.hand_in()
        self.stage.deliver()
        self.stage.fire()
        self.stage.deliver()
        self.fleet.lease()
        if self.is_in_laps:
            self._look_at_laps()
        self.proposers.act()
        self.fleet.post(self._traffic())

    @property
    def decided(self) -> int:
        """Return how many laps or proposals are over, of those that were asked for."""
        if self.is_in_laps:
            return self.laps - len(self.open_laps)
        return len(self.proposers.filed) + self.proposers.refused.total() - self.proposers.undecided

    @property
    def is_in_laps(self) -> bool:
        """Tell whether proposals come from investigations of anomalies."""
        return self.scenario.counted == LAPS

    def _is_over(self) -> bool:
        return self.proposers.is_exhausted and not self.proposers.undecided and not self.open_laps

    def _look_at_laps(self) -> None:
        """Note which kinds of work have an open lap, of those asked for; later ones are ignored."""
        with self.stage.platform.store.read() as tx:
            rows = sql.find_all(tx, tables.episode, state=EpisodeState.OPEN)
        self.laps = min(self.scenario.count, max([self.laps, *(row["lap_id"] for row in rows)]))
        self.open_laps = {row["key"]: row["lap_id"] for row in rows if row["lap_id"] <= self.scenario.count}
        self.proposers.is_exhausted = self.laps >= self.scenario.count

    def _traffic(self) -> dict[str, int]:
        """Return how many tasks of each kind to post: none where nothing is, or will be, tested.

        Until the first lap has opened there is one kind only: when all fall at once, the observatory sees
        the fall of the whole platform, and one lap covers it.
        """
        is_starting = self.is_in_laps and not self.laps
        kinds = list(self.environment.levels)[: 1 if is_starting else None]
        busy = (kind for kind in kinds if kind in self.open_laps or not self.proposers.is_idle(kind))
        return dict.fromkeys(busy, self.scenario.tasks_per_step)

    def close(self) -> None:
        """Close the platform's database; a file is left whole, without a log beside it."""
        self.stage.close()
