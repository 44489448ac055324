"""One run of one job in a thread of its own, ended at its budget whatever its code does.

Stands in the cron runner (L3) under the firing of ticks; used where the store keeps real time. Who waits for
an attempt ends it in three steps: the engine stops a statement at the budget; a moment later an error is
raised in the job's own code, again and again, also where it swallows errors; after a grace the transaction is
taken back from outside and the thread is left alone. Errors are raised only while the job's own code runs,
never in the store's (the begin, the commit, the way back). It cannot end a call into C that keeps Python's
lock, and it never records anything.
"""

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from services.domain.errors import BudgetExceededError
from services.store.holds import Hold
from services.store.tx import Store, used_up

ENGINE_FIRST_SECONDS: Final = 0.1
"""So long the engine alone has to stop a statement whose budget is over."""
GRACE_SECONDS: Final = 1.0
"""So long after its budget a job is asked to stop before its transaction is taken from it."""
AGAIN_SECONDS: Final = 0.05
LEFT_ALONE_SECONDS: Final = 1.0
"""How often a thread that would not stop is told again."""

CODE_STOPPED: Final = "its code was stopped"
TAKEN_BACK: Final = "it would not stop, so its transaction was rolled back from outside and its thread left"

Result = Mapping[str, object]

log = logging.getLogger(__name__)


class StoppedError(BudgetExceededError):
    """Raised in the code of a job whose budget is over."""

    def __init__(self) -> None:
        super().__init__(CODE_STOPPED)


class EndedError(BaseException):
    """Raised in the code of a job that swallowed StoppedError; `except Exception` does not catch it."""


class Attempt:
    """One run of a job: `act` is given the attempt and runs in its thread; `run` waits for it or ends it.

    `act` opens its transactions with `hold(budget_us)` and calls the job through `call`.
    """

    def __init__(self, store: Store, name: str, budget_us: int, act: "Callable[[Attempt], Result]") -> None:
        self.is_left_alone = False
        self._store = store
        self._name = name
        self._budget_us = budget_us
        self._act = act
        self._changed = threading.Condition()
        self._ends_at_seconds: float | None = None
        self._hold: Hold | None = None
        self._is_over = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._inside = threading.Lock()
        self._is_inside = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"job-{name}", daemon=True)

    def run(self) -> Result:
        """Run `act` and return what it returns, or raise what it raised.

        Raises BudgetExceededError, with how the job was stopped, when it did not end in time.
        """
        self._thread.start()
        self._wait_until_late()
        if not self._is_over:
            self._stop()
        if not self._is_over:
            self._leave_alone()
            raise used_up(self._budget_us, TAKEN_BACK)
        if self._error is None:
            assert self._result is not None  # noqa: S101 (what is over has a result or an error)
            return self._result
        if self._is_stopping and not _says_how(self._error):
            raise used_up(self._budget_us, CODE_STOPPED) from self._error
        raise self._error

    # --- in the job's thread

    def hold(self, budget_us: int) -> Hold:
        """Return the hold for the next transaction of this attempt, which may take so long."""

        def begin() -> None:
            with self._changed:
                self._ends_at_seconds = time.monotonic() + budget_us / 1e6
                self._changed.notify_all()

        with self._changed:
            self._ends_at_seconds = None
        self._hold = Hold(begin)
        self._hold.is_stopped = self._is_stopping
        return self._hold

    def call(self, code: Callable[[], Result]) -> Result:
        """Run the job's own code; only meanwhile errors are raised in this thread from outside."""
        try:
            try:
                with self._inside:
                    self._is_inside = not self._is_stopping
                result = code()
            finally:
                self._leave()
        except BaseException:
            self._leave()  # an error may have come just before the first
            raise
        if self._is_stopping:
            raise StoppedError
        return result

    def _leave(self) -> None:
        """Let no error come any more; one that comes while this is said changes nothing."""
        while True:
            try:
                with self._inside:
                    self._is_inside = False
                    _raise_in(self._thread, None)
            except (StoppedError, EndedError):
                continue
            return

    def _run(self) -> None:
        try:
            self._result = self._act(self)
        except BaseException as error:  # noqa: BLE001 (named edge: cron run; it is told to who waits)
            self._error = error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    # --- in the thread that waits

    def _wait_until_late(self) -> None:
        with self._changed:
            while not self._is_over:
                if self._ends_at_seconds is None:
                    self._changed.wait()
                    continue
                remaining_seconds = self._ends_at_seconds + ENGINE_FIRST_SECONDS - time.monotonic()
                if remaining_seconds <= 0:
                    return
                self._changed.wait(remaining_seconds)

    def _stop(self) -> None:
        """Ask the job's code to stop, first by an error that it may catch to tidy up, then by others."""
        ends_at_seconds = time.monotonic() + GRACE_SECONDS
        self._is_stopping = True
        self._raise(StoppedError)
        with self._changed:
            self._changed.wait_for(lambda: self._is_over, AGAIN_SECONDS)
        while not self._is_over and time.monotonic() < ends_at_seconds:
            self._raise(EndedError)
            with self._changed:
                self._changed.wait_for(lambda: self._is_over, AGAIN_SECONDS)

    def _leave_alone(self) -> None:
        """Take the transaction back, and go on telling the thread to end without waiting for it."""
        self.is_left_alone = True
        if self._hold is not None:
            self._hold.take_back(self._store.engine)
        log.error("job %s: %s", self._name, used_up(self._budget_us, TAKEN_BACK))
        threading.Thread(target=self._follow, name=f"after-{self._name}", daemon=True).start()

    def _follow(self) -> None:
        while not self._is_over:
            self._raise(EndedError)
            with self._changed:
                self._changed.wait_for(lambda: self._is_over, LEFT_ALONE_SECONDS)
        log.warning("job %s: the thread that had been left has ended; nothing of it was kept", self._name)

    def _raise(self, error: type[BaseException]) -> None:
        """Raise an error in the thread of the attempt if the job's own code runs in it."""
        if self._hold is not None:
            self._hold.is_stopped = True
        with self._inside:
            if self._is_inside:
                _raise_in(self._thread, error)


def _says_how(error: BaseException) -> bool:
    """Tell whether an error says itself that the budget is over and how that was noticed."""
    return isinstance(error, BudgetExceededError) and not isinstance(error, StoppedError)


def _raise_in(thread: threading.Thread, error: type[BaseException] | None) -> None:
    """Let the thread raise the error before its next step in Python; None takes back one not yet raised."""
    given = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), given)
