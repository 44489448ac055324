"""A laboratory whose history of windows is planted, so that a test needs only the newest hours for real."""

from services import observatory
from services.domain.clock import HOUR_US
from services.domain.tallies import Series, Tally
from services.store import series, sql, tables
from tests.services.laboratory import Laboratory

WHOLE = ("platform", "all")


class Watch(Laboratory):
    """A laboratory that counts and looks."""

    def set_up_watch(self, *switches):
        """Set up without tasks; of the switches only those named are on."""
        self.set_up(tasks=0)
        for name in ("watch_counts", "watch_gauges"):
            self.set_value(f"observatory.{name}", "1" if name in switches else "0")
        return self

    def set_value(self, name, value):
        with self.write("operator") as tx:
            assert sql.update(tx, tables.parameter, {"name": name}, value=value)

    def plant_windows(self, hours, **metrics):
        """Plant `hours` windows up to now; each metric is a function hour → (numerator, denominator).

        A metric's name may carry its series: `task_duration__task_type__research_synthesis`.
        """
        start_us = self.now_us - hours * HOUR_US
        metrics = {"task_success": lambda _: (0, 0), **metrics}
        rows = []
        for hour in range(hours):
            for name, made in metrics.items():
                metric, *cut = name.split("__")
                dimension, key = cut or WHOLE
                numerator, denominator, *more = made(hour)
                tally = Tally(numerator, denominator, *more)
                ends = start_us + hour * HOUR_US, start_us + (hour + 1) * HOUR_US
                rows.append(series.row_of(Series(metric, dimension, key), "window", *ends, tally, 0))
        with self.write() as tx:
            sql.insert_many(tx, tables.snapshot, rows)

    def end_tasks(self, good, bad=0, type_="research_synthesis", **values):
        """Let tasks end a second from now."""
        self.pass_seconds(1)
        with self.write() as tx:
            for number in range(good + bad):
                state = "settled" if number < good else "failed"
                self.plant(tx, type_=type_, state=state, ended_at_us=tx.now_us, **values)

    def snap(self):
        with self.write("system:platform_metrics_snapshot") as tx:
            return observatory.take_snapshot(tx)

    def observe(self):
        with self.write("system:observe") as tx:
            return observatory.observe(tx)

    def window(self, good=0, bad=0, **values):
        """Let an hour pass in which these tasks end, count it, look; return the episodes that opened."""
        self.pass_seconds(1_800)
        self.end_tasks(good, bad, **values)
        self.pass_seconds(1_799)
        self.snap()
        return self.observe()

    def counted(self, metric, dimension="platform", key="all"):
        """Return (numerator, denominator, corrections) of every window of a series, oldest first."""
        rows = self.rows(tables.snapshot, metric=metric, dimension=dimension, key=key, grain="window")
        return [(row["numerator"], row["denominator"], row["corrections"]) for row in rows]
