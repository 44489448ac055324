"""One writer for many callers: what waits together is one transaction, and is answered after its commit.

Stands in the store over `Store.write`. Each act runs in a savepoint of its own, so that one that fails takes
back only itself; acts of one set-wise verb are handed to it together. It never waits for more to come, never
answers before the commit, and never tries an act again whose transaction may have been committed.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

from services.domain.errors import BusyError
from services.store.tx import Store, Tx, is_given_up

MAXIMUM = 64
"""Acts of one transaction, unless told otherwise; what waits longer goes into the next."""

QUEUE_LIMIT = 10_000
"""Acts that may wait; more are refused with BusyError `queue_full`."""
TRIES_ALONE: Final = 3
"""So often an act is tried alone that another transaction made give way."""

POSTGRESQL_WORKERS = 2
ACTOR = "system:writer"
"""Who acts in the transaction itself; every act has its own actor."""

Verb: TypeAlias = Callable[[Tx, Sequence[tuple[str, Any]]], Sequence[Any]]
"""A set-wise verb: from (actor, item) pairs to one result, or one exception that is its refusal, for each."""

T = TypeVar("T")


class _Stage(IntEnum):
    """How far a transaction came."""

    BEGIN = 0
    ACT = 1
    COMMIT = 2


@dataclass(slots=True, eq=False)
class _Act:
    """What one caller asked for, and what came of it until the commit makes that true."""

    actor: str
    verb: Verb | None
    item: Any
    future: "Future[Any]" = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None

    def answer(self) -> None:
        """Tell the caller."""
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)

    def settle(self, found: Any) -> None:
        """Keep what a set-wise verb answered for this act."""
        self.result, self.error = (None, found) if isinstance(found, Exception) else (found, None)


class GroupWriter:
    """Writes acts in groups: in one thread on SQLite, in several, each with its transaction, on PostgreSQL.

    Acts of one group run in the order they came in, those of a set-wise verb where its first one stands; an
    act that is submitted after another was answered comes after it. `commits` counts transactions, `acts`
    what was asked.
    """

    def __init__(
        self,
        store: Store,
        maximum: int = MAXIMUM,
        *,
        queue_limit: int = QUEUE_LIMIT,
        workers: int = POSTGRESQL_WORKERS,
    ) -> None:
        self.commits = 0
        self.acts = 0
        self._store = store
        self._maximum = maximum
        self._queue_limit = queue_limit
        self._waiting: deque[_Act] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        count = workers if store.engine.dialect.name == "postgresql" else 1
        self._threads = [
            threading.Thread(target=self._run, name=f"group-writer-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, actor: str, act: Callable[[Tx], T]) -> "Future[T]":
        """Queue one act; its answer is there once the transaction that it is part of has been committed.

        Raises BusyError: `queue_full` when too many wait, `shutting_down` after `close`. The future fails
        with what the act raised, or with what its transaction failed with; nothing of it is written then,
        unless the connection was lost in the commit itself. A future that is cancelled in time is not run.
        """
        return self._queue(_Act(actor, None, act))

    def submit_merged(self, verb: Verb, actor: str, item: object) -> "Future[Any]":
        """Queue one item of a set-wise verb, which gets all items that wait for it in one call; as `submit`.

        A verb that raises is called again for each item alone.
        """
        return self._queue(_Act(actor, verb, item))

    @property
    def queued_share(self) -> float:
        """Return how full the queue is: 0 for empty, 1 when the next act is refused."""
        return len(self._waiting) / self._queue_limit

    def close(self) -> None:
        """Write what is queued, and end; nothing can be submitted any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _queue(self, act: _Act) -> "Future[Any]":
        with self._changed:
            if self._is_closed:
                raise _refused("shutting_down", "the writer is closed; nothing was done")
            if len(self._waiting) >= self._queue_limit:
                msg = f"{self._queue_limit} writes wait already; nothing was done, try again"
                raise _refused("queue_full", msg)
            self._waiting.append(act)
            self.acts += 1
            self._changed.notify()
        return act.future

    def _take(self) -> list[_Act]:
        """Return what waits, at most one group, as soon as there is something; nothing means the end."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            count = min(len(self._waiting), self._maximum)
            return [self._waiting.popleft() for _ in range(count)]

    def _run(self) -> None:
        while group := self._take():
            wanted = [act for act in group if act.future.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)

    def _commit(self, group: Sequence[_Act]) -> None:
        """Write one group and answer it; what lost or was spoilt with others is tried again alone.

        Who gave way once may meet the same rival again, as row locks are not served in order: a few tries.
        """
        again = self._attempt(group)
        retried = {id(act) for act in again}
        for act in group:
            if id(act) not in retried:
                act.answer()
        for act in again:
            for _ in range(TRIES_ALONE):
                if not self._attempt([act]):
                    break
            act.answer()

    def _attempt(self, group: Sequence[_Act]) -> list[_Act]:
        """Write one group in one transaction; return the acts of which nothing was written and may be yet."""
        calls = _by_verb(group)
        again: list[_Act] = []
        stage = _Stage.BEGIN
        try:
            with self._store.write(actor=ACTOR) as tx:
                stage = _Stage.ACT
                if len(calls) == 1:
                    _call(tx, calls[0])
                else:
                    again = [act for acts in calls for act in _perform(tx, acts)]
                stage = _Stage.COMMIT
        except BaseException as error:  # noqa: BLE001 (whatever ended the transaction is told to every caller)
            for act in group:
                act.error = error
            has_lost = isinstance(error, BusyError) and stage != _Stage.BEGIN
            is_spoilt = stage == _Stage.ACT and len(calls) == 1 and len(group) > 1 and _is_of_an_act(error)
            return list(group) if has_lost or is_spoilt else []
        self._count_commit()
        return again

    def _count_commit(self) -> None:
        with self._changed:
            self.commits += 1


def _refused(code: str, detail: str) -> BusyError:
    error = BusyError(detail)
    error.code = code
    return error


def _is_of_an_act(error: BaseException) -> bool:
    """Tell whether the transaction ended by what an act did, and not because the database is not there."""
    return isinstance(error, Exception) and not getattr(error, "connection_invalidated", False)


def _by_verb(group: Sequence[_Act]) -> list[list[_Act]]:
    """Part a group into calls: the acts of each set-wise verb together, every other act alone."""
    calls: list[list[_Act]] = []
    of_verb: dict[Verb, list[_Act]] = {}
    for act in group:
        if act.verb is None:
            calls.append([act])
        elif act.verb in of_verb:
            of_verb[act.verb].append(act)
        else:
            calls.append(of_verb.setdefault(act.verb, [act]))
    return calls


def _perform(tx: Tx, acts: Sequence[_Act]) -> list[_Act]:
    """Run one call in a savepoint; return those of its acts that are to be tried again after the commit."""
    try:
        with tx.savepoint():
            _call(tx, acts)
    except Exception as error:  # noqa: BLE001 (the caller is told; the others of the group go on)
        if isinstance(error, BusyError) or is_given_up(error):
            return list(acts)
        if len(acts) == 1:
            acts[0].error = error
            return []
        return [again for act in acts for again in _perform(tx, [act])]
    return []


def _call(tx: Tx, acts: Sequence[_Act]) -> None:
    """Run one act, or one verb over the items of all."""
    verb = acts[0].verb
    if verb is None:
        [act] = acts
        act.result, act.error = act.item(replace(tx, actor=act.actor)), None
        return
    actors = {act.actor for act in acts}
    own = replace(tx, actor=actors.pop()) if len(actors) == 1 else tx
    for act, found in zip(acts, verb(own, [(act.actor, act.item) for act in acts]), strict=True):
        act.settle(found)
