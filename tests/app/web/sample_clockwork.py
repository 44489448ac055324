"""Made-up health, jobs, runs and webhooks in the shapes of the read models; see `sample_market`."""

from tests.app.web.sample_evidence import SampleEvidence
from tests.app.web.sample_tasks import at

MOST = dict(metrics=25.0, checks=25.0, bus=15.0, cron=15.0, invariants=10.0, budgets=5.0, reviews=5.0)  # noqa: C408 (one line)


class SampleClockwork(SampleEvidence):
    """The running platform itself, and what it does by the clock."""

    # --- workings

    def score(self, tx):
        lost = dict.fromkeys(MOST, 0.0)
        if not self.empty:
            lost |= {"metrics": 6.0, "checks": 15.0, "bus": 1.0}
        return {"points": round(100 - sum(lost.values())), "lost": lost, "most": MOST}

    def ledger_fault(self, tx):
        return (
            None
            if self.empty
            else "the ledger does not verify from entry 3: <i>; nothing is promoted until it does"
        )

    def check(self, layer, component, status="pass", output=None, **more):
        component_id, _, _ = component.partition(":")
        kind = component_id.partition("/")[0] if "/" in component_id else "platform"
        shown = {"layer": layer, "componentId": component_id, "componentType": kind, "status": status}
        return {**shown, "time": at(120), **more} | ({"output": output} if output else {})

    def health(self, tx):
        lost = [("database:answer_time", {"observedValue": 0.0004, "observedUnit": "seconds"})]
        checks = {name: [self.check("ready", name, **more)] for name, more in lost}
        checks |= {
            name: [self.check("live", name, observedValue=42.0, observedUnit="seconds")]
            for name in ("job/vote_tally:last_tick", "job/lease_expiry:last_tick")
        }
        checks["agent/8:bid_room"] = [self.check("ready", "agent/8:bid_room", "fail", "it is suspended")]
        hold = None
        if not self.empty:
            output = self.text("3 of 4 known answers were given; the one for seed 17 was not")
            failing = self.check(
                "correct", "task_type/monte_carlo:known_answers", "fail", output,
                observedValue=0.75, observedUnit="share", affectedEndpoints=["/api/v1/tasks"],
            )  # fmt: skip
            checks["task_type/monte_carlo:known_answers"] = [failing]
            paused = self.check("live", "job/series_pruning:last_tick", "warn", "an operator has paused it")
            checks["job/series_pruning:last_tick"] = [paused]
            hold = f"check task_type/monte_carlo:known_answers fails: {output}"
        held = [{"experiment_id": 5, "parameter": "market.cooling", "to": self.text("1.8")}] if hold else []
        return {
            "status": "fail" if hold else "pass",
            "description": "health of the Nacre platform",
            "at": at(130),
            "score": self.score(tx),
            "promotion_hold": hold,
            "held_promotions": held,
            "checks": checks,
            "failing_since": {"correct:task_type/monte_carlo:known_answers": at(100)} if hold else {},
            "watchdogs": self.watchdogs(),
        }

    def watchdogs(self):
        last = 200.0 if self.empty else 4000.0
        found = (
            ("books_audit", 3600.0, None),
            ("market_watchdog", 60.0, 31.0),
            ("metric_watchdog", 300.0, last),
        )
        return [
            {"job": name, "summary": "Recounts it.", "every_seconds": every, "age_seconds": age}
            for name, every, age in found
        ]

    def cron(self, tx):
        snapshot, accept = self.cron_history(tx)["items"] or (None, None)
        jobs = [
            self.job("platform_metrics_snapshot", "essential", 10, snapshot),
            self.job("auto_accept_bids", "essential", 0, accept),
            self.job("metric_watchdog", "diagnostic", 40, None),
        ]
        if not self.empty:
            low = "health is 78 of 100, below 80: diagnostic jobs run first and more often"
            jobs[2] |= {"effective_priority": -60, "health_reason": low}
            paused = {"is_paused": True, "paused_because": self.text("the disk is being looked at")}
            jobs.append(self.job("series_pruning", "housekeeping", 60, None) | paused)
        return {"health_points": self.score(tx)["points"], "jobs": jobs}

    def job(self, name, role, priority, tick):
        return {
            "job": name,
            "summary": "What it does.",
            "role": role,
            "every_seconds": 3600.0,
            "daily_at": None,
            "budget_seconds": 30.0,
            "jitter_seconds": 0.0,
            "misfire": "run_once",
            "priority": priority,
            "effective_priority": priority,
            "health_reason": None,
            "next_due_at": at(3600),
            "is_paused": False,
            "paused_because": None,
            "run_asked_at": None,
            "last_tick": tick,
        }

    # --- operations

    def list_dead_letters(self, tx, *, limit=50, cursor=None):
        return self.page(
            [
                {
                    "delivery_id": 12,
                    "state": "dead",
                    "event_id": 88,
                    "event_type": "TaskEnded",
                    "subscriber": "observatory",
                    "attempts": 8,
                    "aggregate": "task:12",
                    "payload": {"task_id": 12},
                    "lap_id": None,
                    "last_error": self.text("OperationalError: database is locked"),
                    "published_at": at(12),
                }
            ],
            limit,
            cursor,
        )

    def list_report_schedules(self, tx):
        file = {"name": "weekly-2026-01-19--2026-01-25.html", "sha256": "ab" * 32, "bytes": 84_000}
        delivery = {
            "from": "2026-01-19T00:00:00.000000Z",
            "to": "2026-01-26T00:00:00.000000Z",
            "ledger_size": 131,
            "files": [file],
            "delivered_at": "2026-01-26T00:00:04.000000Z",
        }
        weekly = {
            "name": "weekly",
            "every": "week",
            "formats": ["html", "pdf"],
            "announced": True,
            "next_at": "2026-02-02T00:00:00.000000Z",
            "last_error": None,
            "created_by": "operator",
            "created_at": "2026-01-20T00:00:00.000000Z",
            "last_delivery": delivery,
        }
        failed = {**weekly, "name": "daily", "last_error": self.text("no room"), "last_delivery": None}
        return {"items": [weekly, failed], "next_cursor": None}

    def list_webhooks(self, tx, *, limit=50, cursor=None, oldest_first=False):
        hook = {
            "webhook_id": 1,
            "url": "https://hooks.example.org/services/T00/secret-path",
            "types": ["nacre.anomaly.detected", "nacre.task.ended"],
            "description": self.text("the night shift"),
            "is_active": True,
            "pause_reason": None,
            "failures_in_a_row": 0,
            "quiet_until": None,
            "is_behind": False,
            "secret_version": 1,
            "rotated_at": None,
            "created_by": "operator",
            "created_at": at(1),
            "deliveries": {"pending": 0, "delivered": 41, "dead": 0, "discarded": 0},
        }
        paused = {
            **hook,
            "webhook_id": 2,
            "url": "https://user:word@other.example.org:8443/x",
            "is_active": False,
            "pause_reason": self.text("20 failures in a row; the last: HTTP 410"),
            "failures_in_a_row": 20,
            "deliveries": {"pending": 7, "delivered": 3, "dead": 20, "discarded": 1},
        }
        return self.page([hook, paused], limit, cursor)

    def cron_history(self, tx, *, job=None, limit=50, cursor=None, oldest_first=False):
        rows = [
            {
                "tick_id": 900 - n,
                "job": name,
                "due_at": at(60 - n),
                "trigger": "clock",
                "claimed_by": "host-1:4242",
                "state": state,
                "reason": None if state == "done" else self.text("health is 55 of 100, below 80"),
                "priority": 50,
                "budget_seconds": 30.0,
                "started_at": at(60 - n),
                "late_seconds": 0.0,
                "ended_at": at(60.4 - n),
                "result": {"windows": 5},
                "error": None if state == "done" else self.text("over its budget of 30 s"),
            }
            for n, (name, state) in enumerate(
                (("platform_metrics_snapshot", "done"), ("auto_accept_bids", "overrun"))
            )
        ]
        return self.page([row for row in rows if job in (None, row["job"])], limit, cursor)

    def latest_ticks(self, tx):
        return self.cron_history(tx)["items"]

    def list_review_items(self, tx, *, is_open=None, limit=50, cursor=None):
        return self.page(
            [
                {
                    "item_id": 2,
                    "kind": "crash_breaker",
                    "subject": self.text("agent tern"),
                    "context": {"crashes": 12, "last": self.text("ValueError")},
                    "opened_at": at(80),
                    "closed_at": None,
                }
            ],
            limit,
            cursor,
        )
