"""The dispatcher: the thread of a process that delivers what is due.

Stands in the bus (L2), started by the composition root. It wakes at once when its own process published and
looks every half second for what other processes left behind; the rows are the record, the wake-up is not. It
writes nothing while nothing is due. Any number of processes may run one over the same database.
"""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from services.event_bus.delivering import deliver_due
from services.event_bus.subscribers import Subscriber
from services.store.tx import Store

SAFETY_POLL_SECONDS = 0.5
PREPARING_THREADS = 8

log = logging.getLogger(__name__)


@dataclass
class Dispatcher:
    """Delivers in a thread of its own: at once when this process published, else within half a second."""

    store: Store
    subscribers: Mapping[str, Subscriber]
    _wake: threading.Event = field(default_factory=threading.Event)
    _is_stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self.store.listeners.append(self._wake.set)
        self._thread = threading.Thread(target=self._run, name="event-bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the delivery under way."""
        if self._wake.set in self.store.listeners:
            self.store.listeners.remove(self._wake.set)
        self._is_stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        with ThreadPoolExecutor(PREPARING_THREADS, thread_name_prefix="prepare") as executor:
            while not self._is_stopping.is_set():
                self._wake.wait(SAFETY_POLL_SECONDS)
                self._wake.clear()
                self._deliver_all(executor)

    def _deliver_all(self, executor: Executor) -> None:
        try:
            while not self._is_stopping.is_set():
                if not deliver_due(self.store, self.subscribers, executor):
                    return
        except Exception:  # named edge: bus delivery (the database itself refused)
            log.exception("events could not be delivered")
