"""Run a setting of the simulated market from a seed: a fresh database, the trace, the figures, the checks.

Stands behind `nacre simulate market`, its tests and its long proof. The database is an SQLite file in a
temporary folder unless one is asked to be kept, or another database is given. Every invariant of the market
is recounted as often as asked and at the end. It prints nothing.
"""

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.simulation.market.deployment import Deployment
from app.simulation.market.drive import Trace, run_market
from app.simulation.market.figures import Figures, figures_of
from app.simulation.market.population import draw_population
from app.simulation.market.rehearsal import Rehearsal
from app.simulation.market.settings import Setting
from services import evolution_ledger
from services.domain.states import DeliveryState
from services.store import sql, tables

Tell = Callable[[int, int], None]
"""Told how many tasks of how many are done."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run on the platform. `breaches` and `refused` (by code) should be empty, `is_verified` true."""

    setting: Setting
    seed: int
    trace: Trace
    figures: Figures
    breaches: list[str]
    checks: int
    refused: dict[str, int]
    dead_letters: int
    entries: int
    root: str
    is_verified: bool
    bids: int
    posted: int
    cpu_seconds: float
    wall_seconds: float
    cpu_by_verb: dict[str, float]

    @property
    def is_sound(self) -> bool:
        """Tell whether every invariant held, nothing was lost and the ledger stands up to the audit."""
        return self.is_verified and not (self.breaches or self.dead_letters or self.refused)


def rehearse(setting: Setting, seed: int) -> Figures:
    """Return the figures of the same market over the pure rules alone."""
    rehearsal = Rehearsal(setting, random.Random(seed))
    return figures_of(run_market(draw_population(seed, setting.tasks), setting, rehearsal))


def run_setting(
    setting: Setting,
    seed: int,
    *,
    url: str | None = None,
    keep: Path | None = None,
    check_every: int = 0,
    on_progress: Tell | None = None,
) -> Run:
    """Run one setting; `check_every` so many tasks all invariants are recounted (0: only at the end)."""
    with tempfile.TemporaryDirectory(prefix="nacre-market-") as name:
        file = Path(name) / "nacre.db"
        found = _run(setting, seed, url or f"sqlite:///{file}", Path(name), check_every, on_progress)
        if keep is not None:
            shutil.copyfile(file, keep)
    return found


def _run(
    setting: Setting, seed: int, url: str, folder: Path, check_every: int, on_progress: Tell | None
) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    population = draw_population(seed, setting.tasks)
    market = Deployment(setting, url, folder, seed)

    def after_step(done: int) -> None:
        if on_progress is not None:
            on_progress(done, setting.tasks)
        if check_every and done % check_every == 0 and done < setting.tasks:
            market.check()

    try:
        trace = run_market(population, setting, market, after_step)
        spent = time.process_time() - cpu
        elapsed = time.perf_counter() - wall
        market.check()
        return _judged(trace, market, seed, spent, elapsed)
    finally:
        market.close()


def _judged(trace: Trace, market: Deployment, seed: int, cpu_seconds: float, wall_seconds: float) -> Run:
    platform = market.stage.platform
    with platform.store.read() as tx:
        dead = len(sql.find_all(tx, tables.delivery, state=DeliveryState.DEAD))
        audit = evolution_ledger.verify_export(list(evolution_ledger.export_lines(tx, platform.signer)))
    return Run(
        trace.setting,
        seed,
        trace,
        figures_of(trace),
        [str(breach) for breach in market.breaches],
        market.checks,
        dict(Counter(refusal.code for refusal in market.refused)),
        dead,
        audit.size,
        audit.root_hex,
        audit.ok,
        market.bids,
        market.posted,
        cpu_seconds,
        wall_seconds,
        market.cpu_seconds,
    )
