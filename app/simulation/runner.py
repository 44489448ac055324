"""Run a scenario from a seed: a fresh database, the world, the report; everything else is thrown away.

Stands behind `nacre simulate` and the tests. The database is an SQLite file in a temporary folder unless one
is asked to be kept. One scenario and one seed give one ledger, down to its root. It prints nothing.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.simulation.report import Effort, report_of
from app.simulation.scenario_world import ScenarioWorld
from app.simulation.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    decided: int
    asked: int
    counted: str
    tasks: int
    tasks_per_second: float
    promoted: int


def simulate(
    scenario: Scenario,
    seed: int,
    *,
    keep: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run a scenario on SQLite and return its report; `keep` is where the database is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="nacre-simulate-") as name:
        folder = Path(name)
        file = folder / "nacre.db"
        report = simulate_over(f"sqlite:///{file}", folder, scenario, seed, on_progress=on_progress)
        if keep is not None:
            shutil.copyfile(file, keep)
    return report


def simulate_over(
    url: str,
    folder: Path,
    scenario: Scenario,
    seed: int,
    *,
    is_migrated: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run a scenario over an empty database (either engine) and return its report."""
    wall, cpu = time.perf_counter(), time.process_time()
    world = ScenarioWorld(scenario, seed, url, folder, is_migrated=is_migrated)

    def tell(found: ScenarioWorld) -> None:
        if on_progress is not None:
            on_progress(_progress(found, time.perf_counter() - wall))

    try:
        world.run(tell)
        return report_of(world, Effort(time.perf_counter() - wall, time.process_time() - cpu))
    finally:
        world.close()


def _progress(world: ScenarioWorld, wall_seconds: float) -> Progress:
    return Progress(
        min(world.decided, world.scenario.count),
        world.scenario.count,
        world.scenario.counted,
        world.fleet.finished,
        world.fleet.finished / wall_seconds,
        0,
    )
