"""Server-sent events for one agent: what has happened to it, in the order of the event table.

Stands over the waiting room, which tells what is new, and the event table, from which a listener that was
away catches up. It never shows one agent what concerns another, and never decides anything.
"""

import json
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api.answers import refusals
from app.api.waiting import Notice, WaitingRoom, notices_of
from services.domain.errors import InvalidValueError, NacreError
from services.store import notices
from services.store.tx import Store

HEARTBEAT_SECONDS = 15.0
STREAMS_PER_AGENT = 4
PAGE = 1_000
REMEMBERED = 4 * PAGE
ID_DIGITS = 18
EVENT_STREAM = "text/event-stream"

_EXAMPLE = 'id: 311\nevent: award\ndata: {"task_id":12}\n\n: still here\n\n'
DESCRIBED = {
    200: {
        "description": "the stream; it ends only when one side ends it",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    **refusals(401, 403, 422, 429),
}


class TooManyStreamsError(NacreError):
    """The agent listens already, as often as it may."""

    code = "rate_limited"
    transient = True


async def stream_of(
    store: Store, room: WaitingRoom, agent_id: int, last_event_id: str | None
) -> StreamingResponse:
    """Return the stream of one agent, resumed behind an event if one is named.

    Raises InvalidValueError for an id that is none, TooManyStreamsError beyond `STREAMS_PER_AGENT`.
    """
    after = _number(last_event_id)
    if room.streams_of(agent_id) >= STREAMS_PER_AGENT:
        raise TooManyStreamsError(
            f"an agent may listen to {STREAMS_PER_AGENT} streams or waiting calls at a time; end one first"
        )
    return StreamingResponse(
        _events(store, room, agent_id, after), media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"}
    )


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= ID_DIGITS):
        msg = "Last-Event-ID is the `id` of an event that this stream has sent"
        raise InvalidValueError(msg, field="header.Last-Event-ID")
    return int(text)


async def _events(store: Store, room: WaitingRoom, agent_id: int, after: int | None) -> AsyncIterator[str]:
    with room.waiting(agent_id, ()) as waiter:
        yield ": here\n\n"
        sent = _Sent()
        if after is not None:
            async for notice in _missed(store, agent_id, after):
                yield sent.once(notice)
        while not room.is_closed:
            await waiter.woken_within(HEARTBEAT_SECONDS)
            texts = [sent.once(notice) for notice in waiter.taken()]
            yield "".join(texts) or ": still here\n\n"


async def _missed(store: Store, agent_id: int, after: int) -> AsyncIterator[Notice]:
    """Yield what has happened since the event named, page by page."""
    while True:
        found, after, is_end = await run_in_threadpool(_page, store, agent_id, after)
        for notice in found:
            yield notice
        if is_end:
            return


def _page(store: Store, agent_id: int, after: int) -> tuple[list[Notice], int, bool]:
    with store.read() as tx:
        events = notices.events_after(tx, after, PAGE)
        found = notices_of(tx, events, {agent_id})
    return found, events[-1]["id"] if events else after, len(events) < PAGE


class _Sent:
    """What this stream has sent lately: what is caught up and what is told live may overlap."""

    def __init__(self) -> None:
        self._recent: dict[tuple[int, str], None] = {}

    def once(self, notice: Notice) -> str:
        """Return a notice as text, or nothing for one that was sent already."""
        place = notice.event_id, notice.name
        if place in self._recent:
            return ""
        self._recent[place] = None
        if len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        facts = json.dumps(notice.facts, separators=(",", ":"))
        return f"id: {notice.event_id}\nevent: {notice.name}\ndata: {facts}\n\n"
