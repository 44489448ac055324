"""A small finished lap in exactly the shapes of the read models, so that pages need no database.

`SampleMarket` answers like `services.store.views` (a test compares the shapes with a real lap's);
`hostile=True` replaces everything agents may write by strings that try to break out of the page.
"""

import random

from tests.app.web.sample_observatory import SampleObservatory
from tests.app.web.sample_tasks import at


class SampleMarket(SampleObservatory):
    """All the read models over one made-up lap."""

    # --- record

    def entry(self, index):
        types = (
            "GENESIS",
            "ANOMALY",
            "PROPOSAL",
            "BALLOT",
            "BALLOT",
            "BALLOT",
            "TALLY",
            "EXPERIMENT_STARTED",
            "VERDICT",
            "PROMOTED",
        )
        return {
            "index": index,
            "type": types[index % 10] if index else "GENESIS",
            "actor": "platform" if index % 3 else "agent:5",
            "lap": 3 if index > 9 else None,
            "at": at(5 * index),
            "leaf_hash": f"{index:02x}" * 32,
            "payload": {
                "parameter": "research_synthesis.timeout_seconds",
                "to": "1.8",
                "note": self.text("read back: 1.8"),
            },
        }

    def list_entries(self, tx, *, type=None, lap=None, limit=50, cursor=None, oldest_first=False):  # noqa: A002
        items = [self.entry(index) for index in range(19, -1, -1)]
        if oldest_first:
            items.reverse()
        return self.page(
            [e for e in items if type in (None, e["type"]) and lap in (None, e["lap"])], limit, cursor
        )

    def get_entry(self, tx, index):
        return {**self.entry(index), "corrections": []} if 0 <= index < 20 else None

    # --- the loop

    def stages(self):
        names = ("observe", "diagnose", "propose", "vote", "experiment", "learn", "promote")
        times = (31, 33, 50, 55, 56, 101, 103)
        details = (
            "research_synthesis 41 of 63 verified (65.1 %), under the line of 70 %",
            "meta-task 41 won by lodestar",
            self.text("research_synthesis.timeout_seconds 0.9 → 1.8"),
            "4 for, 1 against of 6: carried",
            "58 tasks, E = 24.3",
            "verdict: win",
            "1.8 in force, read back 1.8",
        )
        refs = (
            ("episode", 6),
            ("task", 41),
            ("proposal", 4),
            ("proposal", 4),
            ("experiment", 5),
            ("entry", 18),
            ("entry", 19),
        )
        done = 4 if self.running else 7
        return [
            {
                "name": name,
                "state": "done" if n < done else ("running" if n == done else "waiting"),
                "at": at(times[n]) if n <= done else None,
                "detail": details[n] if n <= done else "",
                "ref": {"kind": refs[n][0], "id": refs[n][1]} if n <= done else None,
            }
            for n, name in enumerate(names)
        ]

    def meta_task(self):
        task = self.task(41)
        return {
            **task,
            "payload": {
                "episode_id": 6,
                "failing_task_ids": [7, 12, 17, 22, 27, 32, 37],
                "cells": [
                    {
                        "dimensions": {"task_type": "research_synthesis"},
                        "attempts": 63,
                        "failures": 22,
                        "score": 0.94,
                        "expected_failures": 4.4,
                        "coverage": 1.0,
                        "purity": 0.97,
                        "failing_task_ids": [7, 12, 17, 22, 27, 32, 37],
                    },
                    {
                        "dimensions": {"agent": self.text("tern")},
                        "attempts": 19,
                        "failures": 9,
                        "score": 0.41,
                    },
                ],
            },
        }

    def get_task(self, tx, task_id):
        found = super().get_task(tx, task_id)
        return {**found, "payload": self.meta_task()["payload"]} if found and task_id == 41 else found

    def get_lap(self, tx, lap_id):
        if lap_id != 3 or self.empty:
            return None
        return {
            "lap_id": 3,
            "opened_at": at(31),
            "closed_at": None if self.running else at(118),
            "outcome": None if self.running else "promoted",
            "stage": "experiment" if self.running else "promote",
            "stages": self.stages(),
            "episode": self.episode(),
            "meta_task": self.meta_task(),
            "proposal": self.list_proposals(tx)["items"][0],
            "experiment": self.list_experiments(tx)["items"][0],
            "entries": [self.entry(index) for index in range(10, 20)],
            "parameter": {
                "name": "research_synthesis.timeout_seconds",
                "before": "0.9",
                "after": None if self.running else "1.8",
            },
        }

    def list_laps(self, tx, *, limit=50, cursor=None, oldest_first=False):
        latest = self.get_lap(tx, 3)
        failed = [
            {**stage, "state": "failed" if n == 5 else ("done" if n < 5 else "waiting")}
            for n, stage in enumerate(self.stages())
        ]
        older = (
            [
                {
                    **latest,
                    "lap_id": 2,
                    "closed_at": at(28),
                    "outcome": "refused",
                    "stage": "learn",
                    "stages": failed,
                }
            ]
            if latest
            else []
        )
        return self.page([latest, *older], limit, cursor)

    def list_snapshots(
        self, tx, *, metric=None, dimension=None, key=None, limit=50, cursor=None, oldest_first=False
    ):
        draw, rows = random.Random(3), []
        for step in range(40):
            for name, good in (
                ("research_synthesis", 0.95 if step > 30 else 0.66),
                ("monte_carlo", 0.97),
                ("ml_training", 0.9),
            ):
                count = 0 if name == "ml_training" and 12 < step < 17 else draw.randrange(8, 16)
                rows.append(
                    {
                        "metric": "task_success",
                        "dimension": "task_type",
                        "key": name,
                        "window_start": at(4 * step - 30),
                        "window_end": at(4 * step - 26),
                        "numerator": sum(draw.random() < good for _ in range(count)),
                        "denominator": count,
                    }
                )
        rows = [row for row in rows if key in (None, row["key"])]
        return self.page(rows if oldest_first else rows[::-1], limit, cursor)

    def pulse(self, tx):
        if self.empty:
            return {
                "at": at(0),
                "tasks": {"bidding": 0},
                "recent_success": {},
                "active_agents": 0,
                "open_episodes": 0,
                "open_laps": 0,
                "latest_lap_id": None,
                "open_proposals": 0,
                "running_experiments": 0,
                "probations": 1,
                "is_frozen": False,
                "failing_checks": 1,
                "dead_letters": 0,
                "review_items": 0,
                "ledger_size": 0,
                "ledger_root": None,
            }
        return {
            "tasks": {"bidding": 4, "leased": 6, "settled": 391, "failed": 58},
            "open_proposals": 0,
            "running_experiments": 1,
            "probations": 1,
            "is_frozen": False,
            "failing_checks": 0,
            "at": at(130),
            "active_agents": 8,
            "open_episodes": 1,
            "open_laps": 1,
            "latest_lap_id": 3,
            "dead_letters": 1,
            "review_items": 1,
            "ledger_size": 20,
            "ledger_root": "ab" * 32,
            "recent_success": {
                "research_synthesis": {"numerator": 57, "denominator": 60},
                "monte_carlo": {"numerator": 61, "denominator": 63},
                "ml_training": {"numerator": 0, "denominator": 0},
            },
        }
