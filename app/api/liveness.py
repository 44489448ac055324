"""Liveness: is there anything that only a restart of this process would mend?

Stands behind /health/live. It looks at the process alone: the event loop, which answers by answering, and the
threads that this process started to deliver events and to fire jobs, if it runs them. A database that is away
is none of its business: a restart would not bring it back.
"""

import threading
from collections.abc import Iterable

from services.domain.checks import Check, Status

BACKGROUND = ("event-bus", "cron-")
"""Names, or their beginnings, of the threads that must live as long as the process."""


class Liveness:
    """The threads of one process that must not end before it."""

    def __init__(self) -> None:
        self._watched: tuple[threading.Thread, ...] = ()

    def watch(self, threads: Iterable[threading.Thread]) -> None:
        """Watch those of these threads that deliver events and fire jobs; none, to stop watching."""
        self._watched = tuple(thread for thread in threads if thread.name.startswith(BACKGROUND))

    def checks(self, now_us: int) -> list[Check]:
        """Return the event loop, which answers, and every watched thread."""
        loop = Check("event_loop", "answers", Status.PASS, now_us, "process")
        return [loop, *(_thread(thread, now_us) for thread in self._watched)]


def _thread(thread: threading.Thread, now_us: int) -> Check:
    status = Status.PASS if thread.is_alive() else Status.FAIL
    output = None if thread.is_alive() else "the thread has ended"
    return Check(f"thread/{thread.name}", "alive", status, now_us, "process", output=output)
