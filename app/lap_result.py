"""What came of a lap: its record, whether it closed, and the setting read back.

Stands between `app.lap`, which finds it out, and the screen or the JSON that shows it. It never decides.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LapResult:
    """What came of it: the lap's record (None when nothing was seen), whether it closed, and why not.

    `probation` says in one line how the promotion stands after its trial.
    """

    record: dict[str, Any] | None
    is_closed: bool
    reason: str
    read_back: dict[str, Any] | None
    seconds: float
    probation: str | None = None

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON object that `nacre lap --json` prints."""
        return {
            "closed": self.is_closed,
            "reason": self.reason,
            "seconds": round(self.seconds, 1),
            "read_back": self.read_back,
            "probation": self.probation,
            "lap": self.record,
        }
