"""Clean cycles of the metrics by two processes whose clocks are apart: rows as the platform writes them.

Each cycle posts, ends and takes back tasks, closes windows, and lets the metric watchdog look; some events
are handled twice, some are committed late, some snapshots crash midway. Everything is drawn from a seed.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

from services import observatory
from services.domain.clock import MINUTE_US, SECOND_US, VirtualClock
from services.operations import measuring, metric_watchdog
from services.operations.metric_watchdog import METRIC_WATCH
from services.store import sql, tables
from services.store.tx import Store

APART_US = 5 * MINUTE_US
STEP_US = 10 * MINUTE_US
TYPES = ("monte_carlo", "research_synthesis", "other")
MODELS = (None, "model-a", "model-b")
ENDS = (("settled", "verified"), ("failed", "verification_failed"), ("failed", "timed_out"),
        ("expired", "no_bids"), ("cancelled", "cancelled"))  # fmt: skip


class CrashedError(RuntimeError):
    """The process died in the middle of a transaction."""


@dataclass
class Cycles:
    """Two processes over one database; the second one's clock is ahead by `apart_us`."""

    store: Store
    other: Store
    draw: random.Random
    agents: list[int]
    open_tasks: list[int] = field(default_factory=list)
    told: Counter = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def anyone(self) -> Store:
        return self.draw.choice((self.store, self.other))

    def post(self) -> None:
        with self.anyone().write(actor="test") as tx:
            task_id = sql.insert(
                tx, tables.task, kind="user", type=self.draw.choice(TYPES), state="bidding", public={},
                private={}, reserve_price_microcredits=9, attempt_count=0, maximum_attempts=2,
                posted_at_us=tx.now_us, bids_close_at_us=tx.now_us, deadline_at_us=tx.now_us,
            )  # fmt: skip
            measuring.note_posted(tx, [task_id])
        self.open_tasks.append(task_id)

    def end(self, late_us: int = 0) -> None:
        """End a task; one that is `late_us` late is committed so long after the time that it bears."""
        task_id = self.open_tasks.pop(self.draw.randrange(len(self.open_tasks)))
        state, reason = self.draw.choice(ENDS)
        if state == "cancelled":  # of which no note is made
            late_us = min(late_us, MINUTE_US)
        with self.anyone().write(actor="test") as tx:
            row = sql.find(tx, tables.task, id=task_id)
            ended_us = max(row["posted_at_us"] + 3, tx.now_us - late_us)
            values = {"state": state, "end_reason": reason, "ended_at_us": ended_us}
            if state != "expired":
                values |= self.work(tx, row, ended_us, is_settled=state == "settled")
            sql.update(tx, tables.task, {"id": task_id}, **values)
            measuring.note_ended(tx, [task_id])

    def work(self, tx, row, ended_us, *, is_settled):
        agent_id, price = self.draw.choice(self.agents), self.draw.randrange(1, 10**6)
        awarded_us = self.draw.randrange(row["posted_at_us"], ended_us)
        leased_us = self.draw.randrange(awarded_us, ended_us)
        sql.insert(
            tx, tables.award, task_id=row["id"], attempt_number=1, agent_id=agent_id, rule="r", seed="s",
            price_microcredits=price, stake_microcredits=0, inputs={}, awarded_at_us=awarded_us,
        )  # fmt: skip
        sql.insert(
            tx, tables.attempt, task_id=row["id"], agent_id=agent_id, number=1, state="verified",
            leased_at_us=leased_us, allowed_until_us=ended_us, expires_at_us=ended_us,
            heartbeat_at_us=ended_us, submitted_at_us=ended_us, ended_at_us=ended_us,
        )  # fmt: skip
        return {
            "attempt_count": 1, "awarded_agent_id": agent_id, "model": self.draw.choice(MODELS),
            "awarded_at_us": awarded_us, "duration_us": ended_us - leased_us,
            "paid_microcredits": price if is_settled else 0,
        }  # fmt: skip

    def tick(self) -> None:
        is_on_time = self.draw.random() < 0.9
        with self.anyone().write(actor="test") as tx:
            measuring.note_tick(tx, "lease_expiry", is_on_time=is_on_time)
            sql.insert_unique(
                tx, tables.cron_tick, AssertionError("twice"), job="lease_expiry",
                due_at_us=tx.now_us * 1_000 + self.draw.randrange(1_000), claimed_by="p", priority=1,
                state="done" if is_on_time else "overrun", budget_us=1, started_at_us=tx.now_us,
                ended_at_us=tx.now_us,
            )  # fmt: skip

    def deliver_twice(self) -> None:
        """Handle an event that was handled before: its handler notes by the guarded update, so nothing."""
        with self.anyone().write(actor="test") as tx:
            changed = sql.update(tx, tables.task, {"state": "bidding", "ended_at_us": 1}, state="failed")
            assert changed == 0

    def snapshot(self) -> None:
        store = self.anyone()
        try:
            with store.write(actor="test") as tx:
                observatory.take_snapshot(tx)
                if self.draw.random() < 0.1:
                    self.told["crashes"] += 1
                    raise CrashedError  # noqa: TRY301 (it is what ends the transaction)
        except CrashedError:
            return
        self.told["snapshots"] += 1

    def watch(self) -> None:
        with self.store.write(actor=f"system:{METRIC_WATCH}") as tx:
            result = metric_watchdog.watch_metrics(tx)
            sql.update(tx, tables.cron_tick, {"job": METRIC_WATCH}, result=result)
            if not sql.find(tx, tables.cron_tick, job=METRIC_WATCH):
                sql.insert(
                    tx, tables.cron_tick, job=METRIC_WATCH, due_at_us=1, claimed_by="p", state="done",
                    priority=1, budget_us=1, started_at_us=1, ended_at_us=1, result=result,
                )  # fmt: skip
            if result["breaches"]:
                self.breaches += [
                    f"{row['subject']}: {row['context']['details'][0]}"
                    for row in sql.find_all(tx, tables.review_item)
                ]
        self.told["late"] += bool(result["late"])
        self.told["planted"] += str(result["planted"]).endswith(": found")
        self.told["missed"] += str(result["planted"]).endswith(": not found")

    def cycle(self) -> None:
        """Live through one window: acts in any order, a snapshot, more acts, a look."""
        for _ in range(self.draw.randrange(1, 5)):
            self.store.clock.advance(self.draw.randrange(1, 2 * MINUTE_US))
            act = self.draw.random()
            if act < 0.45 or not self.open_tasks:
                self.post()
            elif act < 0.8:
                self.end(late_us=self.draw.choice((0, 0, 0, self.draw.randrange(STEP_US * 2))))
            elif act < 0.95:
                self.tick()
            else:
                self.deliver_twice()
        if self.draw.random() < 0.7:
            self.snapshot()
        self.store.clock.advance(self.draw.randrange(1, 3 * MINUTE_US))
        self.watch()


class AheadClock:
    """Another process's clock: ahead of the first one's."""

    def __init__(self, clock: VirtualClock, apart_us: int = APART_US) -> None:
        self.clock, self.apart_us = clock, apart_us

    def now_us(self) -> int:
        return self.clock.now_us() + self.apart_us


def live(store: Store, count: int, seed: int) -> Cycles:
    """Live through so many cycles on a migrated database; return what was told."""
    draw = random.Random(seed)
    other = Store(store.url, AheadClock(store.clock))
    with store.write(actor="operator") as tx:
        agents = [
            sql.insert(
                tx, tables.agent, name=f"a{number}", owner="o", scopes=[], key_hash=f"{number}",
                standing="full", is_vouched=True, registered_at_us=tx.now_us, last_active_at_us=tx.now_us,
            )
            for number in range(3)
        ]  # fmt: skip
    cycles = Cycles(store, other, draw, agents)
    store.clock.advance(SECOND_US)
    try:
        for _ in range(count):
            cycles.cycle()
            if cycles.breaches or cycles.told["missed"]:
                break
    finally:
        other.close()
    return cycles
