"""Made-up tasks and agents in exactly the shapes of the read models; see `sample_market`."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 3, 3, 4, 5, 123456, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x00'\"&{{7*7}}" + "W" * 300
NAMES = ("sorrel", "heron", "quarry", "tern", "lodestar", "plumb", "wren", "alder")


def at(seconds):
    """Return the instant `seconds` after the start, as the API writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant_us(seconds):
    """Return the instant `seconds` after the start, as the database holds it."""
    return (START + timedelta(seconds=seconds) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


class SampleTasks:
    """The read models of the market; every function takes a transaction it does not need."""

    def __init__(self, *, hostile=False, running=False, empty=False):
        self.said = HOSTILE if hostile else None
        self.running = running
        self.empty = empty

    def text(self, honest):
        return self.said or honest

    def page(self, items, limit=50, cursor=None):
        first = int(cursor or 0)
        shown = [] if self.empty else items[first : first + limit]
        return {"items": shown, "next_cursor": str(first + limit) if len(items) > first + limit else None}

    def task(self, task_id):
        number = task_id
        kind = "meta" if number == 41 else "user"
        task_type = (
            "investigation"
            if kind == "meta"
            else ("research_synthesis", "monte_carlo", "ml_training")[number % 3]
        )
        state = (
            ("settled", "settled", "failed", "leased", "bidding")[number % 5] if kind == "user" else "settled"
        )
        ended = state in {"settled", "failed"}
        return {
            "task_id": number,
            "kind": kind,
            "type": task_type,
            "state": state,
            "requester_id": 1,
            "lap_id": 3 if kind == "meta" else None,
            "payload": {"question": self.text("What lays nacre down?"), "sources": 12},
            "reserve_price_microcredits": 1_250_000,
            "posted_at": at(number),
            "bids_close_at": at(number + 0.4),
            "awarded_at": at(number + 0.5) if state != "bidding" else None,
            "deadline_at": at(number + 60),
            "ended_at": at(number + 2.2) if ended else None,
            "awarded_agent_id": 2 if state != "bidding" else None,
            "attempt_count": 0 if state == "bidding" else 1,
            "end_reason": {"settled": "verified", "failed": "timed_out"}.get(state),
            "duration_seconds": 0.914 if ended else None,
            "paid_microcredits": 912_500 if state == "settled" else None,
            "is_holdout": False,
            "workflow": None,
            "retry_of_id": 12 if number == 17 else None,
            "parameters": None
            if state == "bidding"
            else {
                "research_synthesis.timeout_seconds": {
                    "value": "1.8",
                    "source": "arm",
                    "arm": 1,
                    "experiment_id": 5,
                },
                "market.cooling": {"value": "4", "source": "default", "arm": None, "experiment_id": None},
            },
        }

    def list_tasks(
        self,
        tx,
        *,
        type=None,  # noqa: A002
        state=None,
        kind=None,
        ended_after_us=None,
        requester_id=None,
        limit=50,
        cursor=None,
        oldest_first=False,
    ):
        items = [self.task(number) for number in range(120, 0, -1)]
        for field, wanted in (("type", type), ("state", state), ("kind", kind)):
            items = [task for task in items if wanted is None or task[field] == wanted]
        return self.page(items, limit, cursor)

    def get_task(self, tx, task_id):
        if not 1 <= task_id <= 120:
            return None
        task = self.task(task_id)
        if task["state"] == "bidding":
            told = ("bids", "awards", "attempts", "exposures", "transfers", "late_results")
            return {**task, "retried_as_id": None, **{key: [] for key in told}}
        retried = {"retried_as_id": 17 if task_id == 12 else None}
        return {**task, **retried, **self.award_of(task_id), **self.work_on(task), **self.money_of(task_id)}

    def award_of(self, task_id):
        return {
            "bids": [
                {
                    "agent_id": n,
                    "ask_microcredits": 800_000 + 31_250 * n,
                    "confidence_percent": 60 + n,
                    "placed_at": at(task_id + 0.05 * n),
                }
                for n in range(1, 6)
            ],
            "awards": [
                {
                    "attempt_number": 1,
                    "agent_id": 2,
                    "rule": "cooled-draw-second-score",
                    "seed": "9f" * 16,
                    "price_microcredits": 912_500,
                    "stake_microcredits": 62_500,
                    "is_unproven": False,
                    "awarded_at": at(task_id + 0.5),
                    "inputs": {
                        "rule": 0,
                        "bids": [self.judged(n) for n in range(1, 5)],
                        "excluded": [{"agent_id": 5, "reason": "stake_short"}],
                        "cooling": 4.0,
                        "value_microcredits": 1_250_000,
                    },
                }
            ],
            "exposures": [
                {"experiment_id": 5, "arm": 1, "value": "1.8", "share": 0.5, "ordinal": 17, "outcome": 1.0}
            ],
        }

    def judged(self, number):
        theta = 0.42 + 0.11 * number if number != 2 else 0.91
        ask = 800_000 + 31_250 * number
        return {
            "agent_id": number,
            "bid_id": 70 + number,
            "ask_microcredits": ask,
            "type_successes": 9.4 - number,
            "type_failures": 0.5 + number,
            "all_successes": 20.1 - number,
            "all_failures": 2.5 + number,
            "jobs": 30 - number,
            "theta": theta,
            "score": theta * (1_250_000 - ask + 62_500) - 62_500,
        }

    def work_on(self, task):
        task_id = task["task_id"]
        handoff = {
            "done": self.text("Read 12 documents, kept 5."),
            "next": self.text("Nothing is missing."),
            "changed": {
                "answer": self.text("Nautilus pompilius."),
                "citations": [{"source": 4, "quote": "aragonite"}],
            },
        }
        return {
            "attempts": [
                {
                    "number": 1,
                    "agent_id": 2,
                    "state": "verified" if task["state"] == "settled" else "failed",
                    "leased_at": at(task_id + 0.9),
                    "allowed_until": at(task_id + 2.7),
                    "expires_at": at(task_id + 2.7),
                    "heartbeat_at": at(task_id + 1.4),
                    "submitted_at": at(task_id + 1.8),
                    "ended_at": at(task_id + 2.2),
                    "handoff": handoff,
                    "reason": task["end_reason"],
                    "verification": {
                        "is_success": True,
                        "checks": {"quotes_verbatim": 5, "terms_covered": 0.9},
                    },
                }
            ],
            "late_results": [
                {
                    "agent_id": 4,
                    "fencing_token": 11,
                    "handoff": handoff,
                    "reason": "stale_fencing_token",
                    "received_at": at(task_id + 9),
                }
            ],
        }

    def money_of(self, task_id):
        return {
            "transfers": [
                {
                    "transfer_id": 71,
                    "kind": "escrow_reserve",
                    "debit": "operator",
                    "credit": "escrow:task:2",
                    "amount_microcredits": 1_250_000,
                    "created_at": at(task_id),
                },
                {
                    "transfer_id": 75,
                    "kind": "escrow_pay",
                    "debit": "escrow:task:2",
                    "credit": "agent:2",
                    "amount_microcredits": 912_500,
                    "created_at": at(task_id + 2.2),
                },
            ],
        }

    def list_agents(self, tx, *, limit=50, cursor=None, oldest_first=False):
        standings = ("full", "full", "full", "probation", "shadow", "full", "full", "suspended")
        items = [
            {
                "agent_id": n + 1,
                "name": self.said[:80] if self.said else name,
                "owner": self.text("harbour"),
                "model": None if n % 2 else self.text("swift-2")[:80],
                "scopes": ["bid", "vote"] if n < 6 else ["vote", "propose"],
                "standing": standings[n],
                "vouched": n < 7,
                "settled_jobs": 40 - 3 * n,
                "verified_jobs": 36 - 4 * n,
                "open_bids": None,
                "forecasts": 30 if n < 4 else 0,
                "brier": 0.06 + 0.03 * n if n < 4 else None,
                "balance_microcredits": 31_204_500 - 4_250_000 * n,
                "records": [
                    {
                        "task_type": "research_synthesis",
                        "jobs": 22 - n,
                        "verified": 15 - n,
                        "success_rate": (15 - n) / (22 - n),
                    },
                    {"task_type": "monte_carlo", "jobs": 18, "verified": 17, "success_rate": 17 / 18},
                ]
                if n < 6
                else [],
                "registered_at": at(-9000),
                "last_active_at": at(130 + n),
            }
            for n, name in enumerate(NAMES)
        ]
        return self.page(items, limit, cursor)
