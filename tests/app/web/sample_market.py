"""A small finished lap in exactly the shapes of the read models, for pages to be drawn from without a database.

`SampleMarket` answers like `services.store.views`; `hostile=True` replaces everything agents may write by
strings that try to break out of the page.
"""

import math
import random
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 3, 3, 4, 5, 123456, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x00'\"&{{7*7}}" + "W" * 300
NAMES = ("sorrel", "heron", "quarry", "tern", "lodestar", "plumb", "wren", "alder")


def at(seconds):
    """Return the instant `seconds` after the start, as the API writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wealth(count=200, seed=7):
    """Return a plausible wealth path: rates .67 and .94, bet 0.25/(m(1-m)) with shares of one half."""
    draw, log_e, path = random.Random(seed), 0.0, []
    mean = 0.68
    for ordinal in range(1, count + 1):
        arm = draw.randrange(2)
        outcome = float(draw.random() < (0.94 if arm else 0.67))
        log_e += math.log(1 + 0.25 / (mean * (1 - mean)) * (arm - 0.5) * (outcome - mean))
        path.append({"ordinal": ordinal, "log_e": log_e, "arm": arm, "outcome": outcome})
        if ordinal >= 20 and log_e >= math.log(20):
            break
    return path


class SampleMarket:
    """The read models over one made-up lap; every function takes a transaction it does not need."""

    def __init__(self, *, hostile=False, running=False, empty=False):
        self.said = HOSTILE if hostile else None
        self.running = running
        self.empty = empty
        self.path = wealth()

    def text(self, honest):
        return self.said or honest

    def page(self, items, limit=50, cursor=None):
        first = int(cursor or 0)
        shown = [] if self.empty else items[first : first + limit]
        return {"items": shown, "next_cursor": str(first + limit) if len(items) > first + limit else None}

    # --- market

    def task(self, task_id):
        number = task_id
        kind = "meta" if number == 41 else "user"
        task_type = "investigation" if kind == "meta" else ("research_synthesis", "monte_carlo", "ml_training")[number % 3]
        state = ("settled", "settled", "failed", "leased", "bidding")[number % 5] if kind == "user" else "settled"
        ended = state in {"settled", "failed"}
        return {
            "task_id": number, "kind": kind, "type": task_type, "state": state, "requester_id": 1,
            "lap_id": 3 if kind == "meta" else None, "payload": {"question": self.text("What lays nacre down?"), "sources": 12},
            "reserve_price_microcredits": 1_250_000, "posted_at": at(number), "bids_close_at": at(number + 0.4),
            "awarded_at": at(number + 0.5) if state != "bidding" else None, "deadline_at": at(number + 60),
            "ended_at": at(number + 2.2) if ended else None, "awarded_agent_id": 2 if state != "bidding" else None,
            "attempt_count": 0 if state == "bidding" else 1,
            "end_reason": {"settled": "verified", "failed": "timed_out"}.get(state),
            "duration_seconds": 0.914 if ended else None, "paid_microcredits": 912_500 if state == "settled" else None,
            "parameters": None if state == "bidding" else {
                "research_synthesis.timeout_seconds": {"value": "1.8", "source": "arm", "arm": 1, "experiment_id": 5},
                "market.cooling": {"value": "4", "source": "default", "arm": None, "experiment_id": None},
            },
        }

    def list_tasks(self, tx, *, type=None, state=None, kind=None, ended_after_us=None, requester_id=None,  # noqa: A002
                   limit=50, cursor=None, oldest_first=False):
        items = [self.task(number) for number in range(120, 0, -1)]
        for field, wanted in (("type", type), ("state", state), ("kind", kind)):
            items = [task for task in items if wanted is None or task[field] == wanted]
        return self.page(items, limit, cursor)

    def get_task(self, tx, task_id):
        if not 1 <= task_id <= 120:
            return None
        task = self.task(task_id)
        if task["state"] == "bidding":
            return {**task, "bids": [], "awards": [], "attempts": [], "exposures": [], "transfers": [], "late_results": []}
        handoff = {"done": self.text("Read 12 documents, kept 5."), "next": self.text("Nothing is missing."),
                   "changed": {"answer": self.text("Nautilus pompilius."), "citations": [{"source": 4, "quote": "aragonite"}]}}
        return {
            **task,
            "bids": [{"agent_id": n, "ask_microcredits": 800_000 + 31_250 * n, "confidence_percent": 60 + n,
                      "placed_at": at(task_id + 0.05 * n)} for n in range(1, 6)],
            "awards": [{"attempt_number": 1, "agent_id": 2, "rule": "cooled_thompson", "seed": "9f" * 16,
                        "price_microcredits": 912_500, "stake_microcredits": 62_500, "awarded_at": at(task_id + 0.5),
                        "inputs": {"bids": [{"agent_id": 2, "score": 0.31}], "cooling": "4", "value_microcredits": 1_250_000}}],
            "attempts": [{"number": 1, "agent_id": 2, "state": "verified" if task["state"] == "settled" else "failed",
                          "leased_at": at(task_id + 0.9), "expires_at": at(task_id + 2.7), "submitted_at": at(task_id + 1.8),
                          "ended_at": at(task_id + 2.2), "handoff": handoff, "reason": task["end_reason"],
                          "verification": {"is_success": True, "checks": {"quotes_verbatim": 5, "terms_covered": 0.9}}}],
            "exposures": [{"experiment_id": 5, "arm": 1, "value": "1.8", "ordinal": 17, "outcome": 1.0}],
            "transfers": [
                {"transfer_id": 71, "kind": "escrow_reserve", "debit": "operator", "credit": "escrow:task:2",
                 "amount_microcredits": 1_250_000, "created_at": at(task_id)},
                {"transfer_id": 75, "kind": "escrow_pay", "debit": "escrow:task:2", "credit": "agent:2",
                 "amount_microcredits": 912_500, "created_at": at(task_id + 2.2)}],
            "late_results": [{"agent_id": 4, "fencing_token": 11, "handoff": handoff, "reason": "stale_fencing_token",
                              "received_at": at(task_id + 9)}],
        }

    def list_agents(self, tx, *, limit=50, cursor=None, oldest_first=False):
        standings = ("full", "full", "full", "probation", "shadow", "full", "full", "suspended")
        items = [{
            "agent_id": n + 1, "name": self.said[:80] if self.said else name, "owner": self.text("harbour"),
            "scopes": ["bid", "vote"] if n < 6 else ["vote", "propose"], "standing": standings[n], "vouched": n < 7,
            "settled_jobs": 40 - 3 * n, "verified_jobs": 36 - 4 * n, "balance_microcredits": 31_204_500 - 4_250_000 * n,
            "records": [{"task_type": "research_synthesis", "jobs": 22 - n, "verified": 15 - n, "success_rate": (15 - n) / (22 - n)},
                        {"task_type": "monte_carlo", "jobs": 18, "verified": 17, "success_rate": 17 / 18}] if n < 6 else [],
            "registered_at": at(-9000), "last_active_at": at(130 + n),
        } for n, name in enumerate(NAMES)]
        return self.page(items, limit, cursor)

    # --- governance

    def get_proposal(self, tx, proposal_id):
        if proposal_id != 4:
            return None
        reasons = ("The failing tasks all stop at the limit; the source has a long tail.", "Evidence holds on recount.",
                   "Cost per task rises by a third; show me that it pays.", "Expected gain is above my line.", "")
        choices = ("for", "for", "against", "for", "for")
        return {
            "proposal_id": 4, "lap_id": 3, "meta_task_id": 41, "proposer_id": 5, "state": "testing" if self.running else "promoted",
            "parameter": "research_synthesis.timeout_seconds", "from": "0.9", "to": "1.8", "from_version": 1,
            "metric": "success_rate", "expected_effect": "0.25", "base_rate": 0.67, "cap_tasks": 400, "cap_days": 7,
            "admission_tasks": 71, "root_cause": self.text("31 of 33 failures ended timed_out within 5 ms of the limit of 0.9 s."),
            "evidence": [7, 12, 17, 22, 27, 32, 37], "content_hash": "c0ffee" * 10 + "abcd", "risk": "open",
            "electorate": 6, "yes": 4, "no": 1, "abstain": 0, "opened_at": at(50), "minimum_until": at(53),
            "closes_at": at(110), "decided_at": at(55), "end_reason": None, "experiment_id": 5,
            "electors": [1, 2, 3, 4, 6, 7],
            "ballots": [{"agent_id": n, "agent_name": self.said or NAMES[n - 1], "choice": choice, "forecast_percent": 80 - 9 * n,
                         "reason": self.text(reason), "brier": 0.04 * n, "cast_at": at(51 + n)}
                        for n, choice, reason in zip((1, 2, 3, 4, 6), choices, reasons, strict=True)],
        }

    def list_proposals(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        single = ("electors", "ballots")
        first = {key: value for key, value in self.get_proposal(tx, 4).items() if key not in single}
        others = [{**first, "proposal_id": 3, "state": "rejected", "yes": 2, "no": 3, "abstain": 1, "parameter": "market.cooling",
                   "from": "4", "to": "6", "end_reason": "cannot_be_carried", "experiment_id": None},
                  {**first, "proposal_id": 2, "state": "inquorate", "yes": 1, "no": 0, "abstain": 3, "experiment_id": None}]
        return self.page([item for item in (first, *others) if state in (None, item["state"])], limit, cursor)

    def get_experiment(self, tx, experiment_id):
        if experiment_id != 5:
            return None
        path = self.path[:21] if self.running else self.path
        arms = {}
        for arm, name in enumerate(("control", "treatment")):
            mine = [point for point in path if point["arm"] == arm]
            won = sum(point["outcome"] for point in mine)
            arms[name] = {"assigned": len(mine) + 1, "resolved": len(mine), "successes": int(won), "rate": won / len(mine)}
        ended = not self.running
        return {
            "experiment_id": 5, "proposal_id": 4, "lap_id": 3, "parameter": "research_synthesis.timeout_seconds",
            "task_type": "research_synthesis", "control_value": "0.9", "treatment_value": "1.8",
            "state": "ended" if ended else "running", "verdict": "win" if ended else None,
            "reason": "wealth_reached_the_line" if ended else None,
            "plan": {"alpha": "0.05", "minimum_tasks": 20, "share": "0.5", "stated_effect": "0.25", "cap_tasks": 400},
            "salt_commitment": "5a" * 32, "salt": "17" * 16 if ended else None, "assigned_count": len(path) + 2, **arms,
            "log_e": path[-1]["log_e"], "e_value": math.exp(path[-1]["log_e"]), "threshold_log_e": math.log(20),
            "estimate": 0.272, "lower": 0.041, "upper": 0.488, "started_at": at(56), "closes_at": at(9000),
            "ended_at": at(101) if ended else None, "path": path,
        }

    def list_experiments(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        full = self.get_experiment(tx, 5)
        first = {key: value for key, value in full.items() if key != "path"}
        other = {**first, "experiment_id": 2, "state": "ended", "verdict": "inconclusive", "parameter": "market.cooling", "log_e": -0.4,
                 "e_value": 0.67, "ended_at": at(20), "reason": "stated_effect_refuted"}
        return self.page([item for item in (first, other) if state in (None, item["state"])], limit, cursor)

    def parameter(self, name, value, source, risk):
        return {"name": name, "value": value, "default": "0.9", "source": source, "version": 2, "low": "0.1", "high": "10",
                "step_max": "2", "unit": "seconds", "risk": risk, "owner": "platform",
                "summary": "How long an agent may work on a research task before it is stopped.", "changed_at": at(103)}

    def list_parameters(self, tx, registry, *, limit=500, cursor=None):
        return self.page([self.parameter("consensus.threshold_percent", "51", "default", "fixed"),
                self.parameter("market.cooling", "4", "default", "open"),
                self.parameter("research_synthesis.timeout_seconds", "1.8", "promoted", "open"),
                          self.parameter("observatory.success_line_percent", "70", "default", "fixed")], limit, cursor)

    def get_parameter(self, tx, registry, name):
        found = [row for row in self.list_parameters(tx, registry)["items"] if row["name"] == name]
        history = [{"version": 2, "value": "1.8", "source": "promoted", "actor": "platform", "experiment_id": 5, "ledger_index": 19,
                    "changed_at": at(103)},
                   {"version": 1, "value": "0.9", "source": "default", "actor": "deployment", "experiment_id": None,
                    "ledger_index": 0, "changed_at": at(-100)}]
        return {**found[0], "history": history} if found else None

    # --- record

    def entry(self, index):
        types = ("GENESIS", "ANOMALY", "PROPOSAL", "BALLOT", "BALLOT", "BALLOT", "TALLY", "EXPERIMENT_STARTED", "VERDICT", "PROMOTED")
        return {"index": index, "type": types[index % 10] if index else "GENESIS", "actor": "platform" if index % 3 else "agent:5",
                "lap": 3 if index > 9 else None, "at": at(5 * index), "leaf_hash": f"{index:02x}" * 32,
                "payload": {"parameter": "research_synthesis.timeout_seconds", "to": "1.8", "note": self.text("read back: 1.8")}}

    def list_entries(self, tx, *, type=None, lap=None, limit=50, cursor=None, oldest_first=False):  # noqa: A002
        items = [self.entry(index) for index in range(19, -1, -1)]
        if oldest_first:
            items.reverse()
        return self.page([e for e in items if type in (None, e["type"]) and lap in (None, e["lap"])], limit, cursor)

    def get_entry(self, tx, index):
        return self.entry(index) if 0 <= index < 20 else None

    # --- the loop

    def stages(self):
        names = ("observe", "diagnose", "propose", "vote", "experiment", "learn", "promote")
        times = (31, 33, 50, 55, 56, 101, 103)
        details = ("research_synthesis 41 of 63 verified (65.1 %), under the line of 70 %", "meta-task 41 won by lodestar",
                   self.text("research_synthesis.timeout_seconds 0.9 → 1.8"), "4 for, 1 against of 6: carried",
                   "58 tasks, E = 24.3", "verdict: win", "1.8 in force, read back 1.8")
        refs = (("episode", 6), ("task", 41), ("proposal", 4), ("proposal", 4), ("experiment", 5), ("entry", 18),
                ("entry", 19))
        done = 4 if self.running else 7
        return [{"name": name, "state": "done" if n < done else ("running" if n == done else "waiting"),
                 "at": at(times[n]) if n <= done else None, "detail": details[n] if n <= done else "",
                 "ref": {"kind": refs[n][0], "id": refs[n][1]} if n <= done else None} for n, name in enumerate(names)]

    def get_lap(self, tx, lap_id):
        if lap_id != 3 or self.empty:
            return None
        return {"lap_id": 3, "opened_at": at(31), "closed_at": None if self.running else at(118),
                "outcome": None if self.running else "promoted", "stage": "experiment" if self.running else "promote",
                "stages": self.stages(), "episode": self.episode(), "meta_task": self.task(41),
                "proposal": self.get_proposal(tx, 4), "experiment": self.get_experiment(tx, 5),
                "entries": [self.entry(index) for index in range(10, 20)],
                "parameter": {"name": "research_synthesis.timeout_seconds", "before": "0.9", "after": None if self.running else "1.8"}}

    def list_laps(self, tx, *, limit=50, cursor=None, oldest_first=False):
        latest = self.get_lap(tx, 3)
        failed = [{**stage, "state": "failed" if n == 5 else ("done" if n < 5 else "waiting")} for n, stage in enumerate(self.stages())]
        older = [{**latest, "lap_id": 2, "closed_at": at(28), "outcome": "refused", "stage": "learn", "stages": failed}] if latest else []
        return self.page([latest, *older], limit, cursor)

    def episode(self):
        return {"episode_id": 6, "metric": "success_rate", "dimension": "task_type", "key": self.text("research_synthesis"),
                "state": "open" if self.running else "closed", "rule": "line", "numerator": 41, "denominator": 63,
                "baseline_rate": 0.93, "p_value": 3.1e-9, "lap_id": 3, "meta_task_id": 41, "opened_at": at(31),
                "closed_at": None if self.running else at(118),
                "evidence": {"failing_task_ids": [7, 12, 17, 22, 27, 32, 37],
                             "cells": [{"dimensions": {"task_type": "research_synthesis"}, "attempts": 63, "failures": 22, "score": 0.94},
                                       {"dimensions": {"agent": self.text("tern")}, "attempts": 19, "failures": 9, "score": 0.41}]}}

    def list_episodes(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        return self.page([self.episode()] if state in (None, self.episode()["state"]) else [], limit, cursor)

    def get_episode(self, tx, episode_id):
        return self.episode() if episode_id == 6 else None

    def list_snapshots(self, tx, *, metric=None, dimension=None, key=None, limit=50, cursor=None, oldest_first=False):
        draw, rows = random.Random(3), []
        for step in range(40):
            for name, good in (("research_synthesis", 0.95 if step > 30 else 0.66), ("monte_carlo", 0.97), ("ml_training", 0.9)):
                count = 0 if name == "ml_training" and 12 < step < 17 else draw.randrange(8, 16)
                rows.append({"metric": "success_rate", "dimension": "task_type", "key": name, "window_start": at(4 * step - 30),
                             "window_end": at(4 * step - 26), "numerator": sum(draw.random() < good for _ in range(count)),
                             "denominator": count})
        rows = [row for row in rows if key in (None, row["key"])]
        return self.page(rows if oldest_first else rows[::-1], limit, cursor)

    def pulse(self, tx):
        if self.empty:
            return {"at": at(0), "tasks": {"bidding": 0}, "recent_success": {}, "active_agents": 0, "open_episodes": 0, "open_laps": 0,
                    "latest_lap_id": None, "open_proposals": 0, "running_experiments": 0, "dead_letters": 0, "review_items": 0,
                    "ledger_size": 0, "ledger_root": None}
        return {"tasks": {"bidding": 4, "leased": 6, "settled": 391, "failed": 58}, "open_proposals": 0, "running_experiments": 1,
                "at": at(130), "active_agents": 8, "open_episodes": 1, "open_laps": 1, "latest_lap_id": 3, "dead_letters": 1,
                "review_items": 1, "ledger_size": 20, "ledger_root": "ab" * 32,
                "recent_success": {"research_synthesis": {"numerator": 57, "denominator": 60},
                                   "monte_carlo": {"numerator": 61, "denominator": 63}, "ml_training": {"numerator": 0, "denominator": 0}}}

    # --- operations

    def list_dead_letters(self, tx, *, limit=50, cursor=None):
        return self.page([{"delivery_id": 12, "event_id": 88, "event_type": "TaskEnded", "subscriber": "observatory", "attempts": 8,
                           "aggregate": "task:12", "payload": {"task_id": 12},
                           "lap_id": None, "last_error": self.text("OperationalError: database is locked"),
                           "published_at": at(12)}], limit, cursor)

    def cron_history(self, tx, *, job=None, limit=50, cursor=None, oldest_first=False):
        rows = [{"job": name, "due_at": at(60 - n), "claimed_by": "host-1:4242", "state": state, "priority": 50, "budget_seconds": 30.0,
                 "started_at": at(60 - n), "ended_at": at(60.4 - n), "result": {"windows": 5},
                 "error": None if state == "done" else self.text("over its budget of 30 s")}
                for n, (name, state) in enumerate((("platform_metrics_snapshot", "done"), ("auto_accept_bids", "overrun")))]
        return self.page(rows, limit, cursor)

    def list_review_items(self, tx, *, is_open=None, limit=50, cursor=None):
        return self.page([{"item_id": 2, "kind": "crash_breaker", "subject": self.text("agent tern"),
                           "context": {"crashes": 12, "last": self.text("ValueError")}, "opened_at": at(80), "closed_at": None}],
                         limit, cursor)
