"""Probes of correctness, at a budgeted rate: known answers for every verifier, and the checks of itself.

Stand beside the layers, run by the cron registry: each call makes the one probe that has waited longest, so
that every run does a bounded part and all have their turn. What they find is reported to the health; they
never mend anything, never settle a task, and never trust a verifier to judge itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.domain.checks import Layer, Status
from services.domain.clock import MINUTE_US, SECOND_US
from services.domain.known_answers import ALARM_AT, KnownAnswer, KnownAnswers, WrongSum
from services.operations import health
from services.operations.self_checks import SELF_CHECKS, Finding, Watch
from services.store import health as queries
from services.store.tx import Tx

PROBES: Final = "correctness_probes"
GOOD_PER_TURN: Final = 12
BAD_PER_TURN: Final = 4
REST_US: Final = 10 * SECOND_US
"""A probe has its next turn this long after its last, at the earliest: once a run."""
GAP_US: Final = 15 * MINUTE_US
"""When nothing was probed for this long, nobody was looking: ages are counted from then on."""
REMEMBERED: Final = 200
"""Known answers of which it is kept whether they were judged rightly."""
WARN_AT: Final = ALARM_AT / 2
TASK_TYPE: Final = "task_type/"
KNOWN_ANSWERS: Final = "known_answers"


class Verify(Protocol):
    """The platform's verifiers, as the loop has them."""

    def __call__(
        self,
        task_type: str,
        public: Mapping[str, object],
        private: Mapping[str, object],
        result: Mapping[str, object],
    ) -> tuple[bool, Mapping[str, object]]:
        """Return (is it verified, reason and measures)."""
        ...


@dataclass(slots=True)
class _Verifier:
    """What is remembered of one verifier: the next case's number, both sums, and the newest judgements."""

    number: int
    good: WrongSum
    bad: WrongSum
    newest: str

    @classmethod
    def from_marks(cls, marks: Mapping[str, Any]) -> "_Verifier":
        good, bad = (WrongSum(*marks.get(side, (0.0, False))) for side in ("good", "bad"))
        return cls(int(marks.get("number", 0)), good, bad, str(marks.get("newest", "")))

    def to_marks(self) -> dict[str, object]:
        sides = {"good": self.good, "bad": self.bad}
        pairs = {side: [total.points, total.has_alarmed] for side, total in sides.items()}
        return {"number": self.number, "newest": self.newest, **pairs}


def probe_next(tx: Tx, verify: Verify, known_answers: Mapping[str, KnownAnswers]) -> Mapping[str, int]:
    """Make the probe that has waited longest; return how many were made (none: all had their turn).

    Task types without known answers are not asked. A task type that is gone is forgotten.
    """
    row = queries.marks(tx, PROBES)
    marks: dict[str, Any] = {} if row is None else dict(row["marks"])
    _note_alive(tx, marks)
    turns: dict[str, int] = marks.setdefault("turns", {})
    names = [*SELF_CHECKS, *(f"{TASK_TYPE}{name}" for name in sorted(known_answers))]
    due = [name for name in names if tx.now_us - turns.get(name, 0) >= REST_US]
    made = {"checks": 0, "answers": 0}
    if due:
        name = min(due, key=lambda one: turns.get(one, 0))
        made = _probe(tx, marks, name, verify, known_answers)
        marks["turns"] = {one: turns.get(one, 0) for one in names} | {name: tx.now_us}
        health.forget(tx, KNOWN_ANSWERS, names)
    queries.keep_marks(tx, PROBES, marks, is_first=row is None)
    return made


def _note_alive(tx: Tx, marks: dict[str, Any]) -> None:
    """Keep since when somebody has been looking without a gap."""
    if tx.now_us - int(marks.get("looked_us", 0)) > GAP_US:
        marks["alive_since_us"] = tx.now_us
    marks["looked_us"] = tx.now_us


def _probe(
    tx: Tx, marks: dict[str, Any], name: str, verify: Verify, known_answers: Mapping[str, KnownAnswers]
) -> dict[str, int]:
    if name in SELF_CHECKS:
        watch = Watch(int(marks["alive_since_us"]), dict(marks.get(name, {})))
        findings = SELF_CHECKS[name](tx, watch)
        marks[name] = watch.marks
        answers = 0
    else:
        task_type = name.removeprefix(TASK_TYPE)
        kept = _Verifier.from_marks(marks.get(name, {}))
        findings = [_ask(task_type, kept, verify, known_answers[task_type])]
        marks[name] = kept.to_marks()
        answers = GOOD_PER_TURN + BAD_PER_TURN
    for one in findings:
        health.report(
            tx, Layer.CORRECT, one.component, one.measurement, one.status,
            observed=one.observed, unit=one.unit, output=one.output,
        )  # fmt: skip
    return {"checks": 1, "answers": answers}


def _ask(task_type: str, kept: _Verifier, verify: Verify, cases: KnownAnswers) -> Finding:
    """Ask a verifier about good and bad results that are known; keep what it said."""
    wrong: list[str] = []
    for turn in range(GOOD_PER_TURN + BAD_PER_TURN):
        is_good = turn < GOOD_PER_TURN
        said = _wrong_about(verify, task_type, cases, kept.number, is_good=is_good)
        if is_good:
            kept.good = kept.good.after(is_right=said is None)
        else:
            kept.bad = kept.bad.after(is_right=said is None)
        kept.newest = (kept.newest + ("1" if said is None else "0"))[-REMEMBERED:]
        kept.number += 1
        if said is not None:
            wrong.append(said)
    points = max(kept.good.points, kept.bad.points)
    status = Status.WARN if points >= WARN_AT else Status.PASS
    if kept.good.has_alarmed or kept.bad.has_alarmed:
        status = Status.FAIL
    return Finding(
        f"{TASK_TYPE}{task_type}",
        KNOWN_ANSWERS,
        status,
        _sentence(kept, wrong) if status is not Status.PASS else None,
        kept.newest.count("1") / len(kept.newest),
        "share",
    )


def _wrong_about(
    verify: Verify, task_type: str, cases: KnownAnswers, number: int, *, is_good: bool
) -> str | None:
    """Return what the verifier got wrong about one case, or None; one that raises is wrong."""
    try:
        case: KnownAnswer = cases(number, is_good)
        is_verified, _ = verify(task_type, case.public, case.private, case.result)
    except Exception as error:  # noqa: BLE001 (named edge: foreign verifier; whatever it raises is no answer)
        return f"{type(error).__name__} for case {number}"
    if is_verified == is_good:
        return None
    return f"{'refused' if is_good else 'accepted'} case {number} ({case.name})"


def _sentence(kept: _Verifier, wrong: list[str]) -> str:
    count = kept.newest.count("0")
    told = f"the verifier was wrong about {count} of the last {len(kept.newest)} known answers"
    return f"{told}; newest: {', '.join(wrong[-3:])}" if wrong else told
