"""How values look on the operator pages: text, instants, money, shares, states.

Pure functions that the templates use as filters. Stand between the read models and the templates, and never
trust a string: whatever agents wrote stays text, and characters that would reorder or hide it are shown.
"""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from services.domain.bet import Verdict
from services.domain.checks import Status
from services.domain.states import (
    AttemptState,
    BallotChoice,
    DeliveryState,
    EpisodeState,
    ExperimentState,
    ProposalState,
    ReviewState,
    Standing,
    TaskState,
    TickState,
)

NOTHING = "–"
MICROCREDITS_PER_CREDIT = 1_000_000
MICROSECONDS_PER_SECOND = 1_000_000
BYTES_PER_GIGABYTE = 1e9
MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
DAY_SECONDS = 86_400
HASH_SHOWN = 12
HOURS_PER_DAY = 24
HOURLY_FROM_PER_DAY = 1_000
"""Traffic from here on is told by the hour."""
UNIT_OF_SCOPE = {"task": "tasks", "agent": "windows of agents", "platform": "windows of the platform"}
"""What a trial draws lots for, by its scope."""
GROUPED_BELOW = 1e9
_STEPS = (
    ("d", DAY_SECONDS, "h", HOUR_SECONDS),
    ("h", HOUR_SECONDS, "min", MINUTE_SECONDS),
    ("min", MINUTE_SECONDS, "s", 1),
)
_KEPT_CONTROLS = "\n\t"
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")

TONES: dict[str, str] = {
    **dict.fromkeys(
        (
            TaskState.SETTLED,
            AttemptState.VERIFIED,
            ProposalState.PROMOTED,
            ProposalState.PASSED,
            ReviewState.APPROVED,
            ExperimentState.CONFIRMED,
            Standing.FULL,
            Verdict.WIN,
            BallotChoice.FOR,
            TickState.DONE,
            Status.PASS,
            DeliveryState.DELIVERED,
            "active",
            "completed",
            "won",
        ),
        "good",
    ),
    **dict.fromkeys(
        (
            TaskState.FAILED,
            AttemptState.LAPSED,
            ProposalState.REJECTED,
            ProposalState.ROLLED_BACK,
            ExperimentState.ABORTED,
            "frozen",
            Standing.SUSPENDED,
            Verdict.LOSS,
            Verdict.INVALID,
            BallotChoice.AGAINST,
            TickState.OVERRUN,
            TickState.MISSED,
            Status.FAIL,
            DeliveryState.DEAD,
            "failing",
        ),
        "bad",
    ),
    **dict.fromkeys(
        (
            TaskState.BIDDING,
            TaskState.AWARDED,
            TaskState.LEASED,
            TaskState.SUBMITTED,
            EpisodeState.OPEN,
            ProposalState.TESTING,
            ProposalState.REVIEW,
            ExperimentState.RUNNING,
            ExperimentState.PROVISIONAL,
            Standing.PROBATION,
            DeliveryState.PENDING,
        ),
        "live",
    ),
    **dict.fromkeys(
        (
            ProposalState.REFUSED,
            ProposalState.INQUORATE,
            Verdict.INCONCLUSIVE,
            ExperimentState.FUTILE,
            EpisodeState.GIVEN_UP,
            Status.WARN,
            "paused",
            "quiet",
        ),
        "warn",
    ),
}
"""Which of the page's four tones a state has; every other state is plain."""


def visible(text: str) -> str:
    """Return `text` with control, format and surrogate characters written out as ⟨U+202E⟩."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(mark):04X}⟩"
        if mark not in _KEPT_CONTROLS and unicodedata.category(mark) in _HIDDEN_CATEGORIES
        else mark
        for mark in text
    )


def shown(value: Any) -> Any:
    """Return what a template may print for `value`: markup as it is, nothing as a dash, text made visible."""
    if value is None:
        return NOTHING
    if isinstance(value, Markup):
        return value
    return visible(str(value))


def words(code: Any) -> str:
    """Return a code such as `timed_out` as words; nothing as a dash."""
    return NOTHING if code in (None, "") else visible(str(code).replace("_", " "))


def tone(state: Any) -> str:
    """Return the CSS class of a state."""
    return "tone-" + TONES.get(str(state), "plain")


def badge(state: Any) -> Markup:
    """Return a state as a small label whose tone is also said in words."""
    return Markup('<span class="badge {}">{}</span>').format(tone(state), words(state))


def seconds_of(at: str) -> float:
    """Return RFC 3339 text as seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def moment(at: str | None) -> Markup:
    """Return an RFC 3339 instant as a `<time>` element to the second, UTC, its full text in the title."""
    if not at:
        return escape(NOTHING)
    instant = datetime.fromisoformat(at).astimezone(UTC)
    return Markup('<time datetime="{0}" title="{0}">{1:%Y-%m-%d} <b>{1:%H:%M:%S}</b></time>').format(
        at, instant
    )


def duration(seconds: float | None) -> str:
    """Return a length of time as one reads it at a glance: 0.42 s, 12.5 s, 3 min 20 s, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return NOTHING
    sign, rest = ("−", -seconds) if seconds < 0 else ("", seconds)
    if rest < MINUTE_SECONDS:
        return f"{sign}{rest:.3g} s"
    whole = round(rest)
    unit, size, part_unit, part = next(step for step in _STEPS if whole >= step[1])
    return f"{sign}{whole // size} {unit} {whole % size // part} {part_unit}"


def between(start: str | None, end: str | None) -> str:
    """Return the time from one RFC 3339 instant to another."""
    return duration(seconds_of(end) - seconds_of(start)) if start and end else NOTHING


def credits_text(microcredits: int | None) -> str:
    """Return micro-credits as credits, exactly, with at least two decimals: 1250000 is 1.25."""
    if microcredits is None:
        return NOTHING
    whole, rest = divmod(abs(microcredits), MICROCREDITS_PER_CREDIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'−' if microcredits < 0 else ''}{whole:,}.{decimals}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share in [0, 1] as per cent; no evidence as a dash, never as 0 %."""
    return NOTHING if share is None else f"{100 * share:.{decimals}f} %"


def rate(numerator: int, denominator: int) -> float | None:
    """Return numerator / denominator, or None where there is no evidence."""
    return numerator / denominator if denominator else None


def points(gap: float | None) -> str:
    """Return a difference of two shares in percentage points with its sign."""
    return NOTHING if gap is None else f"{100 * gap:+.1f} pts".replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number to a few significant digits: thousands grouped, beyond 10^9 as 1.21e26."""
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
    if abs(value) >= GROUPED_BELOW:
        text = f"{value:.{digits}g}".replace("e+", "e")
    return text.replace("-", "−")


def trial_length(seconds: float | None, per_day: float | None, unit: str) -> str:
    """Return how long a trial takes and at which traffic: about 22 s at 3,640 tasks an hour; else nothing."""
    if seconds is None or not per_day:
        return ""
    is_fast = per_day >= HOURLY_FROM_PER_DAY
    pace, of = (per_day / HOURS_PER_DAY, "an hour") if is_fast else (per_day, "a day")
    return f"about {duration(seconds)} at {significant(pace)} {unit} {of}"


def measured(value: float | None, unit: str | None, *, is_share: bool = False) -> str:
    """Return a figure in its unit as people say it: 91.3 %, 3 min 20 s, 1.25 credits, 312 tasks."""
    if value is None:
        return NOTHING
    if is_share:
        return percent(value)
    if unit == "microseconds":
        return duration(value / MICROSECONDS_PER_SECOND)
    if unit == "seconds":
        return duration(value)
    if unit == "share":
        return percent(value)
    if unit == "microcredits":
        shown = (
            credits_text(value) if isinstance(value, int) else significant(value / MICROCREDITS_PER_CREDIT, 4)
        )
        return f"{shown} credits"
    if unit == "bytes":
        return f"{value / BYTES_PER_GIGABYTE:,.3g} GB"
    figure = f"{value:,.0f}".replace("-", "−") if float(value).is_integer() else significant(value)
    return f"{figure} {words(unit)}" if unit else figure


def short_hash(digest: str | None) -> Markup:
    """Return the beginning of a hash, the whole of it in the title."""
    if not digest:
        return escape(NOTHING)
    return Markup('<code title="{}">{}…</code>').format(visible(digest), visible(digest[:HASH_SHOWN]))


def pretty(value: Any) -> str:
    """Return a JSON value as indented text with sorted keys; text stays text."""
    return visible(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str))


def said(text: Any) -> Markup:
    """Return what an agent wrote, isolated so that its direction and length disturb nothing around it."""
    return Markup('<span class="said" dir="auto">{}</span>').format(escape(shown(text)))


FILTERS = {
    "words": words,
    "tone": tone,
    "badge": badge,
    "moment": moment,
    "duration": duration,
    "credits": credits_text,
    "percent": percent,
    "points": points,
    "significant": significant,
    "measured": measured,
    "short_hash": short_hash,
    "pretty": pretty,
    "said": said,
}
