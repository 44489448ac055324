"""Turns: what only one process may do at a time on PostgreSQL, and what lets the others know.

Stands beside the transaction. A turn is an advisory lock, held by the database for a connection: it ends with
its transaction, or with the process that died, and never has to be cleared up. SQLite has one writer at a
time, which is turn enough. It never waits for a row, and it writes nothing.
"""

import hashlib
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Connection, Engine, Integer, bindparam, func, select

from services.store.tx import Tx

WRITERS: Final = 0x6E616374
RUNS: Final = 0x6E616375
"""First keys of the locks: of who writes in a transaction, and of runs that last longer; the second is a
name's."""

KEYS: Final = (bindparam("family", type_=Integer()), bindparam("key", type_=Integer()))
WAIT = select(func.pg_advisory_xact_lock(*KEYS))
TRY = select(func.pg_try_advisory_xact_lock(*KEYS))


def _keys(family: int, name: str) -> dict[str, int]:
    """Return the two keys of a name's lock; that two names may share one only makes them take turns."""
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return {"family": family, "key": int.from_bytes(digest, signed=True)}


def take(tx: Tx, name: str) -> None:
    """Wait until no other transaction has the turn of this name, and have it until this one ends."""
    if tx.is_postgresql:
        tx.connection.execute(WAIT, _keys(WRITERS, name))


class RunTurn:
    """The turn of a run that takes several transactions, held on a connection of its own.

    It is taken at most once, within `with`, and given back at its end.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._connection: Connection | None = None

    def is_taken(self) -> bool:
        """Take the turn; False when another run has it. It never waits."""
        if self._engine.dialect.name != "postgresql":
            return True
        self._connection = self._engine.connect()
        return bool(self._connection.execute(TRY, _keys(RUNS, self._name)).scalar_one())

    def __enter__(self) -> Self:
        """Take nothing yet."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the turn back: the connection's transaction ends without having written anything."""
        if self._connection is not None:
            self._connection.close()
