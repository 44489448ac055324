"""Made-up standings, bids, rankings and failed work in exactly the shapes of the read models."""

from tests.app.web.sample_tasks import NAMES, SampleTasks, at

RULE = "cooled-draw-second-score"


class SampleAgents(SampleTasks):
    """What the read models say of agents and of the market as it stands."""

    def get_agent(self, tx, agent_id):
        found = [agent for agent in self.list_agents(tx)["items"] if agent["agent_id"] == agent_id]
        return found[0] if found else None

    def get_standing(self, tx, agent_id):
        agent = self.get_agent(tx, agent_id)
        if agent is None:
            return None
        is_suspended = agent["standing"] == "suspended"
        return {
            "agent_id": agent_id,
            "name": agent["name"],
            "standing": agent["standing"],
            "vouched": agent["vouched"],
            "settled_jobs": agent["settled_jobs"],
            "verified_jobs": agent["verified_jobs"],
            "next_step": {"standing": "full", "verified_jobs": 4}
            if agent["standing"] == "probation"
            else None,
            "demotion": {
                "against_rate": 0.6,
                "e_value": 131.2 if is_suspended else 0.004 * agent_id,
                "suspends_at": 100.0,
                "successes": agent["verified_jobs"],
                "failures": agent["settled_jobs"] - agent["verified_jobs"],
                "failures_left": 0 if is_suspended else 21,
            },
            "crashes": {"in_a_row": 1, "limit": 12},
            "suspension": {
                "since": at(90),
                "may_return_at": at(90 + 86_400),
                "stake_microcredits": 1_000_000,
            }
            if is_suspended
            else None,
            "bond_microcredits": 1_000_000 if agent["standing"] == "probation" else 0,
            "appeal": {"item_id": 4, "opened_at": at(100), "decided_at": None} if is_suspended else None,
            "acts": [{"kind": "reinstated", "at": at(-4_000)}] if is_suspended else [],
        }

    def bid(self, agent_id, number, state, reason):
        is_awarded = state in {"won", "lost"}
        winner = {
            "agent_id": agent_id if state == "won" else 2,
            "attempt_number": 1,
            "score": 312_000.0,
            "price_microcredits": 912_500,
            "awarded_at": at(number + 0.5),
        }
        return {
            "bid_id": 900 + number,
            "task_id": number,
            "task_type": "research_synthesis",
            "task_state": "bidding" if state == "open" else "settled",
            "state": state,
            "ask_microcredits": 880_000,
            "confidence_percent": 80,
            "placed_at": at(number + 0.1),
            "bids_close_at": at(number + 0.4),
            "theta": 0.71 if is_awarded else None,
            "score": 214_000.0 if is_awarded else None,
            "bidders": 5 if is_awarded else None,
            "winner": winner if is_awarded else None,
            "reason": reason,
        }

    def list_bids(self, tx, *, agent_id, state=None, limit=50, cursor=None, oldest_first=False):
        outscored = {
            "code": "outscored",
            "sentence": f"Another bid scored higher under the rule {RULE}: 0.312 credits against your "
            "0.214 credits.",
        }
        cancelled = {"code": "task_cancelled", "sentence": "The task was taken back before it was awarded."}
        waits = {"code": "window_open", "sentence": f"The window is open until {at(14.4)}."}
        items = [
            self.bid(agent_id, 14, "open", waits),
            self.bid(agent_id, 13, "lost", outscored),
            self.bid(agent_id, 12, "closed_without_award", cancelled),
            self.bid(agent_id, 11, "won", None),
        ]
        return self.page([item for item in items if state in (None, item["state"])], limit, cursor)

    def leaderboard(self, tx, *, type=None, limit=50):  # noqa: A002
        items = [
            {
                "rank": n + 1,
                "agent_id": n + 1,
                "name": self.said[:80] if self.said else name,
                "owner": self.text("harbour"),
                "standing": "full" if n else "probation",
                "expected_rate": 0.93 - 0.07 * n,
                "rate_low": 0.81 - 0.09 * n,
                "rate_high": 0.99 - 0.04 * n,
                "jobs": 40 - 3 * n,
                "verified": 36 - 4 * n,
                "earned_microcredits": 31_204_500 - 4_250_000 * n,
                "brier": None if n > 3 else 0.06 + 0.03 * n,
                "forecasts": 0 if n > 3 else 30,
            }
            for n, name in enumerate(NAMES[:6])
        ]
        return self.page(items, limit)

    def market_now(self, tx):
        counts = (0, 0, 0, 0) if self.empty else (1_204, 17, 23, 4)
        ages = (94.2, 1.2, 12.0, 0.3)
        ended = [0] * 12 if self.empty else [31, 44, 52, 0, 61, 58, 49, 55, 63, 70, 66, 24]
        return {
            "stages": [
                {
                    "stage": stage,
                    "count": count,
                    "oldest_at": at(130 - age) if count else None,
                    "oldest_seconds": age if count else None,
                }
                for stage, count, age in zip(
                    ("open", "awarded", "leased", "submitted"), counts, ages, strict=True
                )
            ],
            "hour": [
                {"from": at(300 * n - 3_300), "settled": count * 4 // 5, "ended": count}
                for n, count in enumerate(ended)
            ],
        }

    def replay_task(self, tx, task_id, *, is_operator=False):
        task = self.get_task(tx, task_id)
        is_confirmed = task_id != 12
        difference = {"what": "price", "recorded": 912_500, "recomputed": 902_500}
        return {
            "task_id": task_id,
            "is_confirmed": is_confirmed,
            "awards": [
                {
                    **{
                        name: award[name]
                        for name in (
                            "attempt_number", "agent_id", "rule", "seed", "price_microcredits", "awarded_at",
                        )
                    },
                    "is_confirmed": is_confirmed,
                    "problem": None,
                    "differences": [] if is_confirmed else [difference],
                    "recomputed": None,
                }
                for award in task["awards"]
            ],
        }  # fmt: skip

    def failed_line(self, kind, number, what, owner, reason, count=1, why_not=None):
        return {
            "kind": kind,
            "id": number,
            "ids": list(range(number, max(0, number - count), -1))[:20],
            "what": what,
            "owner": owner,
            "reason": {"code": reason[0], "sentence": reason[1]},
            "count": count,
            "since": at(40),
            "last_at": at(100),
            "can_retry": why_not is None,
            "why_not": why_not,
        }

    def list_failed_work(self, tx, *, kind=None, owner=None, limit=50, cursor=None):
        looks = "a person has to look; close it or dismiss it with a reason"
        timed_out = ("timed_out", "the time allowed passed before a result was in")
        locked = ("OperationalError", self.text("OperationalError: database is locked"))
        items = [
            self.failed_line(
                "review_item", 2, self.text("agent tern"), "operator", ("appeal", "appeal"), why_not=looks
            ),
            self.failed_line(
                "dead_letter", 12, "event TaskEnded for observatory", "observatory", locked, count=3
            ),
            self.failed_line(
                "tick", 899, "job auto_accept_bids", "auto_accept_bids",
                ("overrun", self.text("over its budget of 30 s")),
                why_not="the job runs again by itself when it is due",
            ),
            self.failed_line(
                "task", 117, "27 tasks of type research_synthesis", "agent:1", timed_out, count=27
            ),
        ]  # fmt: skip
        return self.page(items, limit, cursor)
