"""Read model of failed work: everything that failed and waits for somebody, one line per cause with a count.

Stands in the store beside the queries it joins: tasks, late results, dead letters, ticks, review items. What
was retried or dismissed is gone; what recovered by itself (a job that ran well again) too. It looks back as
far as the platform keeps its ticks. It never retries anything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select

from services.domain.clock import DAY_US
from services.domain.failed_work import INVESTIGATION, WHY_NOT_RETRIED, FailedKind, sentence_of
from services.domain.states import DeliveryState, EndReason, TaskKind, TaskState, TickState
from services.store.sql import Row, rows
from services.store.tables import cron_tick, delivery, event, late_result, review_item, task
from services.store.tx import Tx
from services.store.views.paging import (
    LIMIT_DEFAULT,
    JsonObject,
    Page,
    at,
    check_limit,
    read_cursor,
    write_cursor,
)

LOOKED_BACK_US: Final = 14 * DAY_US
DISMISSED: Final = "dismissed"
"""The kind of a (closed) review item that records a dismissal; its context names the cause and how far."""
ROWS_READ: Final = 2_000
"""The newest rows of a small table that are grouped; tasks are grouped by the database."""
IDS_SHOWN: Final = 20
KINDS: Final = tuple(FailedKind)
PLACE_BITS: Final = 58
"""A line's place in the list is its kind and then its id, in one number that fits a cursor."""
PLATFORM_OWNER: Final = "platform"
OPERATOR_OWNER: Final = "operator"


@dataclass(slots=True)
class Line:
    """One cause of failed work and the things it holds, newest first."""

    kind: FailedKind
    cause: str
    what: str
    owner: str
    code: str
    sentence: str
    ids: list[int] = field(default_factory=list)
    count: int = 0
    first_us: int = 0
    last_us: int = 0
    why_not: str | None = None

    @property
    def place(self) -> int:
        """Return where the line stands: higher comes first."""
        return (len(KINDS) - 1 - KINDS.index(self.kind) << PLACE_BITS) + self.ids[0]

    def shown(self) -> JsonObject:
        """Return the line as the API shows it."""
        return {
            "kind": str(self.kind),
            "id": self.ids[0],
            "ids": self.ids[:IDS_SHOWN],
            "what": self.what,
            "owner": self.owner,
            "reason": {"code": self.code, "sentence": self.sentence},
            "count": self.count,
            "since": at(self.first_us),
            "last_at": at(self.last_us),
            "can_retry": self.why_not is None,
            "why_not": self.why_not,
        }


def list_failed_work(
    tx: Tx,
    *,
    kind: FailedKind | None = None,
    owner: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page:
    """Return a page of what failed and waits, by kind and then newest first; one line per cause."""
    check_limit(limit)
    before = None if cursor is None else read_cursor(cursor, oldest_first=False)
    marks = dismissals(tx)
    found = [
        line
        for line in failed_lines(tx, KINDS if kind is None else (kind,), marks)
        if owner in (None, line.owner) and (before is None or line.place < before)
    ]
    kept = found[:limit]
    _fill_ids(tx, kept, marks)
    following = write_cursor(kept[-1].place, oldest_first=False) if len(found) > limit else None
    return {"items": [line.shown() for line in kept], "next_cursor": following}


def failed_lines(tx: Tx, kinds: Sequence[FailedKind], marks: Mapping[str, int]) -> list[Line]:
    """Return every line of these kinds in the order of the list; lines of tasks name their newest only."""
    found = [line for kind in kinds for line in READERS[kind](tx, marks)]
    return sorted(found, key=lambda line: -line.place)


def dismissals(tx: Tx) -> dict[str, int]:
    """Return how far each cause was dismissed: cause → the newest id that nobody wants to hear of."""
    statement = select(review_item.c.context).where(
        review_item.c.kind == DISMISSED, review_item.c.opened_at_us >= tx.now_us - LOOKED_BACK_US
    )
    marks: dict[str, int] = {}
    for row in rows(tx, statement):
        cause, newest = str(row["context"]["cause"]), int(row["context"]["newest_id"])
        marks[cause] = max(newest, marks.get(cause, 0))
    return marks


def cause_of_task(row: Mapping[str, Any]) -> str:
    """Return the cause under which a failed task is counted."""
    requester = row["requester_id"] or 0
    return f"{FailedKind.TASK}:{row['type']}:{row['end_reason']}:{requester}"


# --- tasks, grouped by the database


def _tasks(tx: Tx, marks: Mapping[str, int]) -> list[Line]:
    key = (task.c.type, task.c.end_reason, task.c.requester_id, task.c.kind)
    waits = _waiting_tasks(tx, marks)
    grouped = (
        select(
            *key,
            func.count().label("count"),
            func.max(task.c.id).label("newest_id"),
            func.min(task.c.ended_at_us).label("first_us"),
            func.max(task.c.ended_at_us).label("last_us"),
        )
        .where(waits)
        .group_by(*key)
    )
    return [_task_line(row) for row in rows(tx, grouped)]


def _waiting_tasks(tx: Tx, marks: Mapping[str, int]) -> ColumnElement[bool]:
    retried = select(task.c.retry_of_id).where(task.c.retry_of_id.is_not(None))
    return and_(
        task.c.ended_at_us > tx.now_us - LOOKED_BACK_US,
        task.c.state.in_((TaskState.FAILED, TaskState.EXPIRED)),
        task.c.end_reason != EndReason.NOT_SUPPORTED,
        task.c.id.not_in(retried),
        *(not_(_is_dismissed(cause, newest)) for cause, newest in marks.items() if _is_of_tasks(cause)),
    )


def _is_of_tasks(cause: str) -> bool:
    return cause.startswith(f"{FailedKind.TASK}:")


def _is_dismissed(cause: str, newest_id: int) -> ColumnElement[bool]:
    _, task_type, reason, requester = cause.split(":")
    asked_by = task.c.requester_id.is_(None) if requester == "0" else task.c.requester_id == int(requester)
    return and_(task.c.id <= newest_id, task.c.type == task_type, task.c.end_reason == reason, asked_by)


def _task_line(row: Row) -> Line:
    requester, count = row["requester_id"], row["count"]
    is_meta = row["kind"] == TaskKind.META
    many = f"{count:,} tasks" if count > 1 else f"task {row['newest_id']}"
    return Line(
        FailedKind.TASK,
        cause_of_task(row),
        f"{many} of type {row['type']}",
        PLATFORM_OWNER if requester is None else f"agent:{requester}",
        row["end_reason"],
        sentence_of(row["end_reason"]),
        [row["newest_id"]],
        count,
        row["first_us"],
        row["last_us"],
        INVESTIGATION if is_meta else None,
    )


def _fill_ids(tx: Tx, lines: Sequence[Line], marks: Mapping[str, int]) -> None:
    """Give lines of several tasks their newest ids, all in one pass over what waits."""
    wanted = {line.cause: line for line in lines if line.kind is FailedKind.TASK and line.count > 1}
    if not wanted:
        return
    parts = [cause.split(":") for cause in wanted]
    place = func.row_number().over(
        partition_by=(task.c.type, task.c.end_reason, task.c.requester_id), order_by=task.c.id.desc()
    )
    newest = (
        select(task.c.id, task.c.type, task.c.end_reason, task.c.requester_id, place.label("place"))
        .where(
            _waiting_tasks(tx, marks),
            task.c.type.in_({part[1] for part in parts}),
            task.c.end_reason.in_({part[2] for part in parts}),
            func.coalesce(task.c.requester_id, 0).in_({int(part[3]) for part in parts}),
        )
        .subquery()
    )
    found: dict[str, list[int]] = {}
    statement = select(newest).where(newest.c.place <= IDS_SHOWN).order_by(newest.c.id.desc())
    for row in rows(tx, statement):
        found.setdefault(cause_of_task(row), []).append(row["id"])
    for cause, line in wanted.items():
        line.ids = found.get(cause, line.ids)


# --- the other kinds, grouped here


def _late_results(tx: Tx, marks: Mapping[str, int]) -> list[Line]:
    statement = select(
        late_result.c.id, late_result.c.agent_id, late_result.c.reason, late_result.c.received_at_us
    ).where(late_result.c.received_at_us > tx.now_us - LOOKED_BACK_US)

    def line_of(row: Row) -> Line:
        owner = f"agent:{row['agent_id']}"
        cause = f"{FailedKind.LATE_RESULT}:{row['agent_id']}:{row['reason']}"
        code = row["reason"]
        return Line(FailedKind.LATE_RESULT, cause, f"late results of {owner}", owner, code, sentence_of(code))

    return _grouped(_newest(tx, statement, late_result.c.id), line_of, "received_at_us", marks)


def _dead_letters(tx: Tx, marks: Mapping[str, int]) -> list[Line]:
    statement = (
        select(
            delivery.c.id, delivery.c.subscriber, delivery.c.last_error, event.c.type, event.c.published_at_us
        )
        .join(event, event.c.id == delivery.c.event_id)
        .where(delivery.c.state == DeliveryState.DEAD)
    )

    def line_of(row: Row) -> Line:
        error = (row["last_error"] or "no error was kept").splitlines()[0]
        code = error.split(":")[0][:64]
        cause = f"{FailedKind.DEAD_LETTER}:{row['subscriber']}:{row['type']}:{code}"
        what = f"event {row['type']} for {row['subscriber']}"
        return Line(FailedKind.DEAD_LETTER, cause, what, row["subscriber"], code, error)

    return _grouped(_newest(tx, statement, delivery.c.id), line_of, "published_at_us", marks)


def _ticks(tx: Tx, marks: Mapping[str, int]) -> list[Line]:
    """Return jobs that failed or overran and have not run well since."""
    done = (
        select(cron_tick.c.job, func.max(cron_tick.c.id).label("last_id"))
        .where(cron_tick.c.state == TickState.DONE)
        .group_by(cron_tick.c.job)
        .subquery()
    )
    statement = (
        select(cron_tick.c.id, cron_tick.c.job, cron_tick.c.state, cron_tick.c.error, cron_tick.c.due_at_us)
        .join(done, done.c.job == cron_tick.c.job, isouter=True)
        .where(
            cron_tick.c.state.in_((TickState.FAILED, TickState.OVERRUN)),
            or_(done.c.last_id.is_(None), cron_tick.c.id > done.c.last_id),
        )
    )

    def line_of(row: Row) -> Line:
        cause = f"{FailedKind.TICK}:{row['job']}:{row['state']}"
        sentence = (row["error"] or sentence_of(row["state"])).splitlines()[0]
        return Line(FailedKind.TICK, cause, f"job {row['job']}", row["job"], row["state"], sentence)

    return _grouped(_newest(tx, statement, cron_tick.c.id), line_of, "due_at_us", marks)


def _review_items(tx: Tx, marks: Mapping[str, int]) -> list[Line]:
    statement = select(
        review_item.c.id, review_item.c.kind, review_item.c.subject, review_item.c.opened_at_us
    ).where(review_item.c.closed_at_us.is_(None))

    def line_of(row: Row) -> Line:
        cause = f"{FailedKind.REVIEW_ITEM}:{row['kind']}:{row['subject']}"
        kind = row["kind"]
        return Line(
            FailedKind.REVIEW_ITEM, cause, row["subject"], OPERATOR_OWNER, kind, kind.replace("_", " ")
        )

    return _grouped(_newest(tx, statement, review_item.c.id), line_of, "opened_at_us", marks)


def _newest(tx: Tx, statement: Select[Any], key: ColumnElement[int]) -> list[Row]:
    return rows(tx, statement.order_by(key.desc()).limit(ROWS_READ))


def _grouped(
    found: Iterable[Row], line_of: Callable[[Row], Line], instant: str, marks: Mapping[str, int]
) -> list[Line]:
    """Return one line per cause of rows that come newest first, without what was dismissed."""
    lines: dict[str, Line] = {}
    for row in found:
        made = line_of(row)
        if row["id"] <= marks.get(made.cause, 0):
            continue
        line = lines.setdefault(made.cause, made)
        line.count += 1
        line.ids.append(row["id"])
        line.first_us = row[instant]
        line.last_us = line.last_us or row[instant]
        line.why_not = WHY_NOT_RETRIED.get(line.kind)
    return list(lines.values())


READERS: Final[Mapping[FailedKind, Callable[[Tx, Mapping[str, int]], list[Line]]]] = {
    FailedKind.REVIEW_ITEM: _review_items,
    FailedKind.DEAD_LETTER: _dead_letters,
    FailedKind.TICK: _ticks,
    FailedKind.TASK: _tasks,
    FailedKind.LATE_RESULT: _late_results,
}
