"""Is a gauge or a duration out of line: its level or its spread, point by point or in hourly windows.

Stands in the observe stage beside the shares and counts, and behind the backtest of a user's own series. A
point is held against the trailing 7 days by the largest of three robust z-scores: the 2 h mean of what is
left after the season, the spread of the newest hour, the spread of the newest 4 h. One incident is one
alert: the detector is silent afterwards. It never reads a clock, and refuses what is no number.
"""

import math
from collections import deque
from typing import Final, NamedTuple

from scipy.special import stdtr

from services.domain.clock import DAY_US, HOUR_US, MINUTE_US
from services.domain.measures import Bad
from services.domain.robust import Moving, Trailing, z_of

WEEK_US: Final = 7 * DAY_US
WARM_UP_US: Final = 12 * HOUR_US
CONFIDENT_AFTER_US: Final = 3 * DAY_US
SEASON_AFTER_US: Final = 14 * DAY_US
SILENCE_US: Final = 15 * HOUR_US
THRESHOLD_Z: Final = 4.85
LEAST_POINTS: Final = 12
KEEP_EVERY_US: Final = 4 * MINUTE_US  # a faster series is remembered this often: memory and cost stay bounded
HOURS_OF_WEEK: Final = 168
VISITS_KEPT: Final = 6
VISITS_NEEDED: Final = 2
SPREAD_FLOOR_SHARE: Final = 0.004
FLOOR_SHARE: Final = 0.01
"""The scale is at least this share of the level (of the value's own size where it is a logarithm)."""
TAIL_FREEDOM: Final = 8.0


class Score(NamedTuple):
    """What one point says.

    anomaly_score: 0 to 1, z / (z + threshold), so ½ is the alert's line; 0 before 12 h of history and in the
    silence after an alert. alert: the score reached ½. z: the largest of the three scores, in the bad
    direction, at least 0. is_low_confidence: less than 3 days of history.
    """

    anomaly_score: float
    alert: bool
    z: float
    is_low_confidence: bool

    @property
    def p_value(self) -> float:
        """Return min(1, 3 · P(|t| ≥ z)): three scores, t with 8 degrees of freedom (heavy tails)."""
        return min(1.0, 6.0 * float(stdtr(TAIL_FREEDOM, -self.z)))


QUIET: Final = Score(anomaly_score=0.0, alert=False, z=0.0, is_low_confidence=True)


class GaugeDetector:
    """The detector of one series, fed point by point; about 15 µs a point, 4 × 2,500 numbers of memory."""

    def __init__(
        self,
        *,
        bad: Bad = Bad.EITHER,
        is_log: bool = False,
        threshold_z: float = THRESHOLD_Z,
        silence_us: int = SILENCE_US,
    ) -> None:
        """Start without history.

        is_log: judge logarithms (durations: a doubling is a doubling at any level). threshold_z: where the
        alert is. silence_us: for how long after an alert nothing is said, 0 for a word on every point.
        """
        if not 0.0 < threshold_z < math.inf:
            raise ValueError(f"threshold_z must be positive, got {threshold_z!r}")
        if silence_us < 0:
            raise ValueError(f"silence_us must not be negative, got {silence_us!r}")
        self._bad, self._is_log = bad, is_log
        self._threshold_z, self._silence_us = threshold_z, silence_us
        self._silent_until_us: int | None = None
        self._season = _Season()
        self._day = Trailing(DAY_US)
        self._week = Trailing(WEEK_US)
        self._level = Moving(2 * HOUR_US, 1, 3 * HOUR_US)
        self._spreads = (_Spread(HOUR_US, 2, 3 * HOUR_US), _Spread(4 * HOUR_US, 4, 9 * HOUR_US))
        self._levels = Trailing(WEEK_US)
        self._newest_us: int | None = None
        self._kept_us: int | None = None

    def update(self, at_us: int, value: float) -> Score:
        """Take in the next point and say how unusual it is.

        Points come in order of time at any spacing; one that is dated before its predecessor counts as of the
        same instant. Raises ValueError for a value that is no finite number (or not over 0, for logs).
        """
        x = self._checked(value)
        if self._newest_us is not None:
            at_us = max(at_us, self._newest_us)
        self._newest_us = at_us
        for trailing in (self._day, self._week, self._levels):
            trailing.forget(at_us)
        usual = self._season.usual(at_us, self._week)
        if usual is None:
            usual = self._day.median() if len(self._day) else x
        self._level.add(at_us, x - usual)
        level = self._level.mean()
        for spread in self._spreads:
            spread.add(at_us, x, x - usual)
        score = self._score(at_us, level)
        if self._kept_us is None or at_us - self._kept_us >= KEEP_EVERY_US:
            self._kept_us = at_us
            self._season.add(x)
            self._day.add(at_us, x)
            self._week.add(at_us, x)
            self._levels.add(at_us, level)
            for spread in self._spreads:
                spread.keep(at_us)
        return score

    def _checked(self, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError(f"value must be a finite number, got {value!r}")
        if not self._is_log:
            return float(value)
        if value <= 0.0:
            raise ValueError(f"value must be over 0 where logarithms are judged, got {value!r}")
        return math.log(value)

    def _score(self, at_us: int, level: float) -> Score:
        """Hold the point against what was usual before it."""
        since_us = self._week.since_us
        if since_us is None or at_us - since_us < WARM_UP_US or len(self._levels) < LEAST_POINTS:
            return QUIET
        size = 1.0 if self._is_log else abs(self._week.median())
        signed = self._levels.z(level, FLOOR_SHARE * size)
        z = self._in_bad_direction(signed)
        for spread in self._spreads:
            wider, narrower = spread.z(SPREAD_FLOOR_SHARE * size)
            if self._bad is Bad.EITHER:
                z = max(z, wider, narrower)
            elif self._in_bad_direction(signed) > 0.0:
                z = max(z, wider)
        is_low = at_us - since_us < CONFIDENT_AFTER_US
        if self._silent_until_us is not None and at_us < self._silent_until_us:
            return Score(0.0, alert=False, z=z, is_low_confidence=is_low)
        is_alert = z >= self._threshold_z
        if is_alert:
            self._silent_until_us = at_us + self._silence_us
        return Score(z / (z + self._threshold_z), is_alert, z, is_low)

    def _in_bad_direction(self, z: float) -> float:
        if self._bad is Bad.EITHER:
            return abs(z)
        return max(0.0, z if self._bad is Bad.RISE else -z)


class _Spread:
    """The spread of the newest values, as they are and less the season, and what it usually is.

    A step that the season explains (a Monday morning) widens only the first, so the smaller is judged for
    being wide; only the first, for which there is history from the start, for being narrow.
    """

    __slots__ = ("_left", "_now", "_raw", "_usual")

    def __init__(self, width_us: int, least: int, reach_us: int) -> None:
        self._raw = Moving(width_us, least, reach_us)
        self._left = Moving(width_us, least, reach_us)
        self._usual = Trailing(WEEK_US)
        self._now: float | None = None

    def add(self, at_us: int, value: float, left: float) -> None:
        """Take the next value in, and what the season leaves of it."""
        self._usual.forget(at_us)
        self._raw.add(at_us, value)
        self._left.add(at_us, left)
        self._now = self._raw.deviation()

    def keep(self, at_us: int) -> None:
        """Count the present spread among the usual ones."""
        if self._now is not None:
            self._usual.add(at_us, self._now)

    def z(self, floor: float) -> tuple[float, float]:
        """Return how far the spread is wider and how far narrower than usual, 0 where it cannot be judged."""
        left = self._left.deviation()
        if self._now is None or left is None or len(self._usual) < LEAST_POINTS:
            return 0.0, 0.0
        median, scale = self._usual.median(), self._usual.scale(floor)
        return z_of(min(self._now, left), median, scale), -z_of(self._now, median, scale)


class _Season:
    """How each hour of the week usually lies to the median of the week before it.

    Kept per visit: the median of the hour less that of the trailing week (so a drift is no season), once
    there are 3 days to have a median of.
    """

    def __init__(self) -> None:
        self._visits: list[deque[float]] = [deque(maxlen=VISITS_KEPT) for _ in range(HOURS_OF_WEEK)]
        self._hour: int | None = None
        self._now: list[float] = []
        self._began_us: int | None = None
        self._week = 0.0
        self._usual: float | None = None

    def usual(self, at_us: int, week: Trailing) -> float | None:
        """Return the usual value of this hour of the week, None before two weeks or two visits of it."""
        hour = at_us // HOUR_US
        if self._began_us is None:
            self._began_us = at_us
        if hour != self._hour:
            if self._hour is not None and at_us - self._began_us >= CONFIDENT_AFTER_US and self._now:
                self._visits[self._hour % HOURS_OF_WEEK].append(_median(self._now) - self._week)
            self._hour, self._now = hour, []
            self._week = week.median() if len(week) else 0.0
            visits = self._visits[hour % HOURS_OF_WEEK]
            has_season = at_us - self._began_us >= SEASON_AFTER_US and len(visits) >= VISITS_NEEDED
            self._usual = self._week + _median(list(visits)) if has_season else None
        return self._usual

    def add(self, value: float) -> None:
        """Take one value of the present hour in."""
        self._now.append(value)


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
