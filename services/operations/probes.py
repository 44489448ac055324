"""Probes of correctness, at a budgeted rate: known answers for every verifier, and the checks of itself.

Stand beside the layers, run by the cron registry: each call does one step of the probe that has waited
longest, so that every run does a bounded part and all have their turn, whatever becomes of one of them. What
they find is reported to the health; they never mend anything, never settle a task, and never trust a verifier
to judge itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.domain.checks import Layer, Status
from services.domain.clock import MINUTE_US, SECOND_US
from services.domain.errors import BudgetExceededError
from services.domain.known_answers import ALARM_AT, KnownAnswer, KnownAnswers, WrongSum
from services.operations import health
from services.operations.health import KNOWN_ANSWERS, PROBES, TASK_TYPE
from services.operations.self_checks import OTHERS, SELF_CHECKS, WRITTEN, Finding, Key, Watch
from services.store import health as queries
from services.store import invariants
from services.store.tx import Tx, is_given_up

GOOD_PER_TURN: Final = 12
BAD_PER_TURN: Final = 4
CASES_PER_TURN: Final = GOOD_PER_TURN + BAD_PER_TURN
ASK_FOR_US: Final = 2 * SECOND_US
"""A verifier is asked for so long in one turn, a fifth of the job's budget; one that needs more is slow."""
ABANDONED_US: Final = 5 * SECOND_US
"""The two steps of a probe follow each other at once: one begun so long ago was left by its run."""
UNFINISHED_FAIL: Final = 2
"""So often in a row a probe was begun and not finished: that is no process that died by chance."""
REST_US: Final = 10 * SECOND_US
"""A probe has its next turn this long after its last, at the earliest: once a run."""
GAP_US: Final = 15 * MINUTE_US
"""When nothing was probed for this long, nobody was looking: ages are counted from then on."""
REMEMBERED: Final = 200
"""Known answers of which it is kept whether they were judged rightly."""
WARN_AT: Final = ALARM_AT / 2


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


@dataclass(frozen=True, slots=True)
class _Asking:
    """The verifiers, the cases they are asked about, and the clock that a turn is timed by."""

    verify: Verify
    known: Mapping[str, KnownAnswers]
    now_us: Callable[[], int]


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


def probe_next(
    tx: Tx,
    verify: Verify,
    known_answers: Mapping[str, KnownAnswers],
    now_us: Callable[[], int] | None = None,
) -> Mapping[str, int]:
    """Do the next step of the probe that has waited longest; return what was done (zeros: all had a turn).

    Each probe takes two steps, each in a transaction of its own: its turn is noted as begun, then it is made.
    So the turn is over whatever becomes of the probe, and one that did not come to its end is told of before
    the next begins. `now_us` is the clock by which a slow verifier is noticed; without it none is. Task types
    without known answers are not asked. A check that nobody makes any more is forgotten.
    """
    invariants.hold_snapshot(tx)
    row = queries.marks(tx, PROBES)
    marks: dict[str, Any] = {} if row is None else dict(row["marks"])
    _note_alive(tx, marks)
    names = [*SELF_CHECKS, *(f"{TASK_TYPE}{name}" for name in sorted(known_answers))]
    begun = marks.pop("begun", None)
    if begun is None or begun["name"] not in names:
        done = _begin(tx, marks, names)
    elif tx.now_us - int(begun["at_us"]) >= ABANDONED_US:
        done = _tell_unfinished(tx, marks, begun["name"])
    else:
        done = _make(tx, marks, begun["name"], _Asking(verify, known_answers, now_us or (lambda: 0)))
    queries.keep_marks(tx, PROBES, marks, is_first=row is None)
    return {"begun": 0, "checks": 0, "answers": 0, "unfinished": 0} | done


def _note_alive(tx: Tx, marks: dict[str, Any]) -> None:
    """Keep since when somebody has been looking without a gap."""
    if tx.now_us - int(marks.get("looked_us", 0)) > GAP_US:
        marks["alive_since_us"] = tx.now_us
    marks["looked_us"] = tx.now_us


def _begin(tx: Tx, marks: dict[str, Any], names: list[str]) -> dict[str, int]:
    """Note the turn of the probe that has waited longest, if one is due."""
    turns = {name: int(marks.get("turns", {}).get(name, 0)) for name in names}
    due = [name for name in names if tx.now_us - turns[name] >= REST_US]
    marks["turns"] = turns
    health.forget_others(tx, {key for name in names for key in _written(name)} | set(OTHERS))
    if not due:
        return {}
    name = min(due, key=turns.__getitem__)
    turns[name] = tx.now_us
    marks["begun"] = {"name": name, "at_us": tx.now_us}
    return {"begun": 1}


def _tell_unfinished(tx: Tx, marks: dict[str, Any], name: str) -> dict[str, int]:
    """Report a probe that was begun and did not end: once is a warning, for its process may have died."""
    unfinished = marks.setdefault("unfinished", {})
    times = unfinished[name] = int(unfinished.get(name, 0)) + 1
    status = Status.WARN if times < UNFINISHED_FAIL else Status.FAIL
    output = f"its check was begun and did not finish, {times} times in a row" if times > 1 else (
        "its check was begun and did not finish"
    )  # fmt: skip
    _report(tx, Finding(*_written(name)[0], status, output))
    return {"unfinished": 1}


def _make(tx: Tx, marks: dict[str, Any], name: str, asking: "_Asking") -> dict[str, int]:
    """Make a probe and report what it found; one that raises has failed itself, and the others go on."""
    answers = 0
    try:
        if name in SELF_CHECKS:
            watch = Watch(int(marks["alive_since_us"]), dict(marks.get(name, {})))
            with tx.savepoint():
                findings = SELF_CHECKS[name](tx, watch)
            marks[name] = watch.marks
        else:
            kept = _Verifier.from_marks(marks.get(name, {}))
            before = kept.number
            findings = [_ask(name.removeprefix(TASK_TYPE), kept, asking)]
            marks[name] = kept.to_marks()
            answers = kept.number - before
    except BudgetExceededError:
        raise
    except Exception as error:
        if is_given_up(error):
            raise
        findings = [Finding(*_written(name)[0], Status.FAIL, f"its check raised {type(error).__name__}")]
    for one in findings:
        _report(tx, one)
    marks.get("unfinished", {}).pop(name, None)
    return {"checks": 1, "answers": answers}


def _written(name: str) -> tuple[Key, ...]:
    """Return what a probe answers for."""
    return WRITTEN.get(name, ((name, KNOWN_ANSWERS),))


def _report(tx: Tx, one: Finding) -> None:
    health.report(
        tx, Layer.CORRECT, one.component, one.measurement, one.status,
        observed=one.observed, unit=one.unit, output=one.output,
    )  # fmt: skip


def _ask(task_type: str, kept: _Verifier, asking: "_Asking") -> Finding:
    """Ask a verifier about good and bad results that are known; keep what it said.

    A turn ends early once it has taken `ASK_FOR_US`; the next one goes on with the next case, so that a slow
    verifier comes to every kind of case too, in more turns.
    """
    wrong: list[str] = []
    began_us = asking.now_us()
    took_us, asked = 0, 0
    while asked < CASES_PER_TURN and took_us < ASK_FOR_US:
        is_good = kept.number % CASES_PER_TURN < GOOD_PER_TURN
        said = _wrong_about(asking.verify, task_type, asking.known[task_type], kept.number, is_good=is_good)
        if is_good:
            kept.good = kept.good.after(is_right=said is None)
        else:
            kept.bad = kept.bad.after(is_right=said is None)
        kept.newest = (kept.newest + ("1" if said is None else "0"))[-REMEMBERED:]
        kept.number += 1
        asked += 1
        took_us = asking.now_us() - began_us
        if said is not None:
            wrong.append(said)
    points = max(kept.good.points, kept.bad.points)
    status = Status.WARN if points >= WARN_AT else Status.PASS
    if kept.good.has_alarmed or kept.bad.has_alarmed:
        status = Status.FAIL
    output = _sentence(kept, wrong) if status is not Status.PASS else None
    if asked < CASES_PER_TURN:
        slow = f"the verifier is slow: {asked} of {CASES_PER_TURN} answers took {took_us / SECOND_US:.1f} s"
        output = slow if output is None else f"{output}; {slow}"
        status = Status.WARN if status is Status.PASS else status
    share = kept.newest.count("1") / len(kept.newest)
    return Finding(f"{TASK_TYPE}{task_type}", KNOWN_ANSWERS, status, output, share, "share")


def _wrong_about(
    verify: Verify, task_type: str, cases: KnownAnswers, number: int, *, is_good: bool
) -> str | None:
    """Return what the verifier got wrong about one case, or None; one that raises is wrong."""
    try:
        case: KnownAnswer = cases(number, is_good)
        is_verified, _ = verify(task_type, case.public, case.private, case.result)
    except BudgetExceededError:  # the run is over, which says nothing of the answer
        raise
    except Exception as error:  # noqa: BLE001 (named edge: foreign verifier; whatever it raises is no answer)
        return f"{type(error).__name__} for case {number}"
    if is_verified == is_good:
        return None
    return f"{'refused' if is_good else 'accepted'} case {number} ({case.name})"


def _sentence(kept: _Verifier, wrong: list[str]) -> str:
    count = kept.newest.count("0")
    told = f"the verifier was wrong about {count} of the last {len(kept.newest)} known answers"
    return f"{told}; newest: {', '.join(wrong[-3:])}" if wrong else told
