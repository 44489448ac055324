"""Made-up metrics, windows and episodes in the shapes of the read models; see `sample_market`."""

import random

from services.domain.measures import MEASURES
from tests.app.web.sample_clockwork import SampleClockwork
from tests.app.web.sample_tasks import at, instant_us

HOUR = 3600
NEWEST = 100
"""When the newest window ended, in seconds after the start."""
LEVELS = {"microseconds": 1_400_000, "microcredits": 912_500, "points": 93}


class SampleObservatory(SampleClockwork):
    """The read models of the observatory."""

    def point(self, measure, hours_ago, draw):
        kind, share = measure.kind, 0.62 if hours_ago < 3 else 0.93
        level, number = LEVELS.get(measure.unit, 12), draw.randrange(30, 60)
        numerator = {"proportion": sum(draw.random() < share for _ in range(number))}.get(kind)
        if kind in ("count", "gauge"):
            number = 1
        if numerator is None:
            numerator = round(sum(level * draw.uniform(0.8, 1.2) for _ in range(number)))
        is_spread, hours = kind in ("duration", "amount"), 5 if hours_ago == 20 else 1
        mean = numerator / number
        return {
            "window_start": at(NEWEST - HOUR * (hours_ago + hours)),
            "window_end": at(NEWEST - HOUR * hours_ago),
            "numerator": numerator,
            "denominator": number,
            "value": mean,
            "sd": 0.2 * mean if is_spread else None,
            "lowest": round(0.5 * mean) if is_spread else None,
            "highest": round(3 * mean) if is_spread else None,
            "p50": 0.9 * mean if is_spread else None,
            "p95": 2.1 * mean if is_spread else None,
            "p99": 2.8 * mean if is_spread else None,
            "corrections": 2 if hours_ago == 9 else 0,
        }

    def points(self, name):
        """Return the windows of a metric, newest first: one is a gap, some hours have nothing to count."""
        measure, draw = next(one for one in MEASURES if one.name == name), random.Random(name)
        idle = (21, 22, 23, 24, 30, 31)
        return [self.point(measure, hours, draw) for hours in range(60) if hours not in idle]

    def list_metrics(self, tx):
        items = [
            {
                "metric": one.name,
                "kind": str(one.kind),
                "unit": one.unit,
                "family": str(one.family),
                "bad": str(one.bad),
                "dimensions": [str(name) for name in one.dimensions],
                "watched": [str(name) for name in one.watched],
                "summary": one.summary,
                "is_share": one.kind == "proportion",
                "newest": None if self.empty or one.name == "time_to_promote" else self.points(one.name)[0],
            }
            for one in MEASURES
        ]
        return {"items": items, "next_cursor": None}

    def list_series(self, tx, asked, *, limit=50, cursor=None, oldest_first=False):
        return self.page(
            self.points(asked.metric) if asked.metric != "time_to_promote" else [], limit, cursor
        )

    def list_keys(self, tx, *, metric, dimension):
        keys = {"agent": ["1", "2", "4"], "model": [self.text("swift-2")[:80], "W" * 80]}
        found = keys.get(dimension, [self.text("monte_carlo")[:80], "research_synthesis"])
        return self.page([{"key": key, "newest_window_end": at(NEWEST)} for key in found], 500)

    def list_corrections(self, tx, *, metric=None, limit=50, cursor=None, oldest_first=False):
        row = {
            "correction_id": 3,
            "metric": metric or "task_success",
            "dimension": "platform",
            "key": "all",
            "window_end": at(NEWEST - 9 * HOUR),
            "numerator": 1,
            "denominator": 2,
            "corrected_at": at(NEWEST - 8 * HOUR),
        }
        return self.page([row, {**row, "correction_id": 2, "dimension": "agent", "key": "4"}], limit, cursor)

    # --- episodes

    def episode(self):
        return {
            "episode_id": 6,
            "metric": "task_success",
            "kind": "proportion",
            "dimension": "task_type",
            "key": self.text("research_synthesis"),
            "state": "open" if self.running else "closed",
            "shape": "shift",
            "observed": 41 / 63,
            "expected": 0.93,
            "interval": [0.84, 0.98],
            "unit": "tasks",
            "rule": "line",
            "numerator": 41,
            "denominator": 63,
            "baseline_rate": 0.93,
            "p_value": 3.1e-9,
            "lap_id": 3,
            "meta_task_id": 41,
            "began_at": at(0),
            "opened_at": at(31),
            "updated_at": at(60),
            "accepted_ledger_index": None,
            "closed_at": None if self.running else at(118),
            "evidence": {
                "window_start_us": instant_us(0),
                "window_end_us": instant_us(31),
                "low_confidence": True,
            },
        }

    def slow(self):
        """Return the platform's own episode of a duration, still open."""
        return {
            **self.episode(),
            "episode_id": 7,
            "metric": "task_wait",
            "kind": "duration",
            "dimension": "platform",
            "key": "all",
            "state": "open",
            "shape": None,
            "observed": 2_900_000.0,
            "expected": 1_300_000.0,
            "interval": [900_000.0, 1_700_000.0],
            "unit": "microseconds",
            "rule": "scan",
            "numerator": 174_000_000,
            "denominator": 60,
            "baseline_rate": None,
            "meta_task_id": None,
            "closed_at": None,
        }

    def failing(self):
        """Return an episode that a failing check opened."""
        output = self.text("3 of 4 known answers were given; the one for seed 17 was not")
        return {
            **self.slow(),
            "episode_id": 8,
            "metric": "correctness",
            "kind": "check",
            "dimension": "component",
            "key": "task_type/monte_carlo",
            "observed": None,
            "expected": None,
            "interval": None,
            "unit": None,
            "rule": "known_answers",
            "numerator": 0,
            "denominator": 1,
            "p_value": None,
            "evidence": {
                "component": "task_type/monte_carlo",
                "measurement": "known_answers",
                "output": output,
                "window_start_us": instant_us(31),
                "window_end_us": instant_us(31),
                "low_confidence": False,
            },
        }

    def accepted(self):
        """Return an episode that ended with an operator's acceptance."""
        return {
            **self.episode(),
            "episode_id": 2,
            "metric": "tasks_posted",
            "kind": "count",
            "dimension": "platform",
            "key": "all",
            "state": "given_up",
            "observed": 312.0,
            "expected": 640.0,
            "interval": [580.0, 702.0],
            "numerator": 312,
            "denominator": 6,
            "baseline_rate": None,
            "closed_at": at(90),
            "accepted_ledger_index": 13,
        }

    def list_episodes(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        found = [self.failing(), self.slow(), self.episode(), self.accepted()]
        return self.page([one for one in found if state in (None, one["state"])], limit, cursor)

    def get_episode(self, tx, episode_id):
        return self.episode() if episode_id == 6 else None
