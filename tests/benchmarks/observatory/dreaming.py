"""The way from an anomaly to the right proposal, with and without the patterns of the nights; same seeds."""

import random
import shutil
import tempfile
from pathlib import Path
from statistics import fmean

from app.simulation.nights import WORLDS, NightWorld
from app.simulation.recollection import HORIZON_TASKS, Way, compare
from services.store import migrate
from tests.benchmarks.observatory.report import AT_MOST, Row

TITLE = "From anomaly to right proposal, with and without the patterns of the nights"
SEEDS = 24
QUICK_SEEDS = 3
RESAMPLES = 2_000
HELD = ("late", "hang", "several")
"""The worlds in which something cures and memory is meant to shorten the way; the others are only told."""


def run(seed: int, quick: bool) -> list[Row]:
    """Return, per world, tasks to the right proposal, wrong proposals, and tasks of their trials."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nacre-dreaming-") as name:
        folder = Path(name)
        template = folder / "template.db"
        migrate.upgrade(f"sqlite:///{template}")
        for world in WORLDS.values():
            seeds = range(seed, seed + (QUICK_SEEDS if quick else SEEDS))
            rows += rows_of(world, [pair(world, number, template, folder) for number in seeds])
    return rows


def pair(world: NightWorld, seed: int, template: Path, folder: Path) -> tuple[Way, Way]:
    """Return the way without and with memory, over a fresh copy of the migrated template."""
    file = folder / f"{world.name}-{seed}.db"
    shutil.copyfile(template, file)
    try:
        return compare(world, seed, f"sqlite:///{file}", folder)
    finally:
        for left in folder.glob(f"{file.name}*"):
            left.unlink()


def rows_of(world: NightWorld, pairs: list[tuple[Way, Way]]) -> list[Row]:
    """Return the rows of one world; a way that never ends counts as the horizon."""
    count = len(pairs)
    rows = []
    if world.cures:
        low, high = interval([with_it.tasks - without.tasks for without, with_it in pairs])
        found = [sum(way.is_found for way in ways) for ways in zip(*pairs, strict=True)]
        what = f"{world.name}: tasks to the right proposal ({world.summary}; "
        what += f"found {found[1]} of {count} with, {found[0]} without; difference {low:+.0f} to {high:+.0f})"
        ours, theirs = (fmean(way.tasks for way in ways) for ways in (second(pairs), first(pairs)))
        sense, line = (AT_MOST, theirs) if world.name in HELD else ("", HORIZON_TASKS)
        rows.append(Row(what, ours, "tasks", sense, line, count, (("without", theirs),)))
    else:
        rows.append(Row(f"{world.name}: {world.summary}", 0.0, "cures", runs=count))
    low, high = interval([with_it.wrong - without.wrong for without, with_it in pairs])
    what = f"{world.name}: wrong proposals on the way (difference {low:+.2f} to {high:+.2f})"
    rows.append(both(what, "", pairs, "wrong"))
    rows.append(both(f"{world.name}: tasks that their trials took", "tasks", pairs, "trial_tasks"))
    return rows


def both(what: str, unit: str, pairs: list[tuple[Way, Way]], name: str) -> Row:
    """Return the mean of one figure, with memory, beside the one without."""
    ours = fmean(getattr(way, name) for way in second(pairs))
    theirs = fmean(getattr(way, name) for way in first(pairs))
    return Row(what, ours, unit, runs=len(pairs), rivals=(("without", theirs),))


def first(pairs: list[tuple[Way, Way]]) -> list[Way]:
    """Return the ways without memory."""
    return [way for way, _ in pairs]


def second(pairs: list[tuple[Way, Way]]) -> list[Way]:
    """Return the ways with memory."""
    return [way for _, way in pairs]


def interval(differences: list[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of paired differences (seeded: always the same)."""
    rng = random.Random(0)
    means = sorted(fmean(rng.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return means[RESAMPLES // 40], means[-RESAMPLES // 40 - 1]
