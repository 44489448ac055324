"""The agent's cycle in one call: keep my leases, take my awards, say what there is, wait if there is nothing.

Stands between the work route and the market (L4). A call that waits holds neither a thread nor a connection
to the database. What it takes is recorded under its Idempotency-Key, if it has one, so that a retry gets the
same leases. It never bids and never hands in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from fastapi import Response
from starlette.concurrency import run_in_threadpool

from app.api.answers import JsonObject, answer
from app.api.bodies import WorkQuery
from app.api.errors import problem_of_item
from app.api.hot_bodies import HotWorkQuery
from app.api.idempotency import WriteGate
from app.api.verbs import MarketVerbs, renew_leases
from app.api.waiting import Waiter, WaitingRoom
from services import meta_task_market
from services.domain.errors import NacreError
from services.domain.states import Scope
from services.meta_task_market import Claim, Renewal
from services.operations import agent_registry
from services.store import idempotency
from services.store.tx import Tx

Query = HotWorkQuery | WorkQuery
IsGone = Callable[[], Awaitable[bool]]
"""Tells whether the client has closed its connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found: the work, whether the sign of life is due, whether the call was answered before."""

    work: JsonObject
    is_stale: bool
    is_recorded: bool


class AgentCycle:
    """Answers the work route over one platform."""

    def __init__(self, verbs: MarketVerbs, room: WaitingRoom) -> None:
        self._verbs = verbs
        self._room = room

    async def answer(self, gate: WriteGate, query: Query, is_gone: IsGone) -> Response:
        """Answer at once when there is anything to do, else when there is or when the time is up.

        Nothing is taken for a client that has gone while it waited. Raises ForbiddenError where leases are
        asked for without the scope `bid`.
        """
        agent_id = gate.caller.require_agent(Scope.BID if query.lease or query.renew else None)
        if not query.wait_seconds:
            return await self._look_until(gate, query, agent_id, None, is_gone)
        with self._room.waiting(agent_id, query.types) as waiter:
            return await self._look_until(gate, query, agent_id, waiter, is_gone)

    async def _look_until(
        self, gate: WriteGate, query: Query, agent_id: int, waiter: Waiter | None, is_gone: IsGone
    ) -> Response:
        clock = asyncio.get_running_loop()
        ends_at = clock.time() + query.wait_seconds
        renewed: list[JsonObject] | None = None if query.renew else []
        while True:
            if waiter is not None:
                waiter.taken()
            seen = await run_in_threadpool(self._look, gate, query, agent_id)
            if seen.is_recorded or (query.lease and seen.work["awards"]):
                return await self._take(gate, query, agent_id, renewed)
            if renewed is None or seen.is_stale:
                renewed = await self._show_life(gate, query, agent_id, renewed)
            told = _shown(seen.work, query, [], renewed)
            is_over = self._room.is_closed or clock.time() >= ends_at
            if waiter is None or is_over or _is_something(told):
                return answer(told)
            await waiter.woken_within(ends_at - clock.time())
            if await is_gone():
                return answer(told)

    def _look(self, gate: WriteGate, query: Query, agent_id: int) -> Seen:
        platform = gate.platform
        with platform.store.read() as tx:
            is_recorded = bool(gate.key and query.lease and idempotency.recorded(tx, [gate.place]))
            work = _work(tx, query, agent_id)
            is_stale = agent_registry.is_stale(agent_registry.get(tx, agent_id), tx.now_us)
        return Seen(work, is_stale, is_recorded)

    async def _show_life(
        self, gate: WriteGate, query: Query, agent_id: int, renewed: list[JsonObject] | None
    ) -> list[JsonObject]:
        """Write that the agent is there, and renew its leases unless that has been done."""

        def act(tx: Tx) -> list[JsonObject]:
            agent_registry.touch(tx, agent_id)
            return self._renew(tx, query, agent_id) if renewed is None else renewed

        return await asyncio.wrap_future(gate.platform.writer.submit(gate.caller.actor, act))

    async def _take(
        self, gate: WriteGate, query: Query, agent_id: int, renewed: list[JsonObject] | None
    ) -> Response:
        """Renew and take leases in one transaction; under a key the answer is recorded."""

        def act(tx: Tx) -> JsonObject:
            agent_registry.touch(tx, agent_id)
            kept = self._renew(tx, query, agent_id) if renewed is None else renewed
            leases = self._lease(tx, query, agent_id)
            work = _work(tx, query, agent_id)
            return _shown(work, query, leases, kept)

        if gate.key:
            return await gate.alone(act)
        return answer(await asyncio.wrap_future(gate.platform.writer.submit(gate.caller.actor, act)))

    def _renew(self, tx: Tx, query: Query, agent_id: int) -> list[JsonObject]:
        asked = [Renewal(agent_id, item.task_id, item.fencing_token) for item in query.renew]
        outcomes = renew_leases(tx, asked) if asked else []
        return [
            _told(outcome, item.task_id, f"body.renew[{place}]")
            for place, (item, outcome) in enumerate(zip(asked, outcomes, strict=True))
        ]

    def _lease(self, tx: Tx, query: Query, agent_id: int) -> list[JsonObject]:
        work = meta_task_market.work_for(tx, agent_id=agent_id, types=[], limit=query.limit)
        awards = cast(Sequence[JsonObject], work["awards"])
        claims = [Claim(agent_id, award["task_id"]) for award in awards]
        outcomes = self._verbs.take_leases(tx, claims) if claims else []
        return [
            {"type": award["type"], "kind": award["kind"], **_told(outcome, award["task_id"], "task")}
            for award, outcome in zip(awards, outcomes, strict=True)
        ]


def _work(tx: Tx, query: Query, agent_id: int) -> JsonObject:
    types = None if query.types is None else list(query.types)
    return meta_task_market.work_for(
        tx, agent_id=agent_id, types=types, limit=query.limit, after=query.after or 0
    )


def _told(outcome: JsonObject | NacreError, task_id: int, place: str) -> JsonObject:
    if isinstance(outcome, NacreError):
        return {**problem_of_item(outcome, place), "task_id": task_id}
    return {"task_id": task_id, **outcome}


def _shown(work: JsonObject, query: Query, leases: list[JsonObject], renewed: list[JsonObject]) -> JsonObject:
    """Return the answer; what was not asked for is not in it."""
    open_tasks = cast(list[JsonObject], work["open"])
    return {
        **work,
        "open": [{**item, "has_bid": False} for item in open_tasks],
        **({"leases": leases} if query.lease else {}),
        **({"renewed": renewed} if query.renew else {}),
    }


def _is_something(told: JsonObject) -> bool:
    """Tell whether there is anything to do; a renewal that went well is nothing to do."""
    work = told["awards"] or told["open"] or told["proposals"] or told.get("leases")
    return bool(work) or any("code" in item for item in told.get("renewed", ()))
