"""An absolute deadline that a tool carries through its work, so that it stops by itself when time is up.
Workers set it from the timeout in force for their task. It never kills anything: it only refuses to go on.
"""

import time


class DeadlinePassedError(TimeoutError):
    """The tool's time is up; whatever was computed so far is not a result."""

    def __init__(self, deadline_seconds: float) -> None:
        super().__init__(f"not done within {deadline_seconds:g} s")
        self.deadline_seconds = deadline_seconds


class Deadline:
    """A point on the monotonic clock, `deadline_seconds` after it was made."""

    def __init__(self, deadline_seconds: float) -> None:
        self.deadline_seconds = deadline_seconds
        self._ends_at = time.monotonic() + deadline_seconds

    def remaining_seconds(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._ends_at - time.monotonic())

    def check(self) -> None:
        """Go on only while time is left.

        Raises:
            DeadlinePassedError: the deadline has passed.
        """
        if time.monotonic() >= self._ends_at:
            raise DeadlinePassedError(self.deadline_seconds)
