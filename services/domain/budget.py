"""Budgets: what may be used of a resource within a scope, and the arithmetic of two-phase holds.

Stands under the budget governor. A hold is reserved first and then settled, voided or expired, once; what is
spent and reserved never exceeds the cap (invariant B1). Pure: it never reads a clock, a row or a limit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.domain.clock import DAY_US, to_datetime, to_rfc3339
from services.domain.errors import ConflictError, InvalidValueError

AMOUNT_HIGHEST = 10**15
OWNER_LENGTH = 80
WORKFLOW_LENGTH = 80
SUBJECT_LENGTH = 3 * OWNER_LENGTH + 1 + WORKFLOW_LENGTH
"""Characters of the longest subject: an owner of escaped characters alone, a slash, a workflow's name."""
PLATFORM_OWNER = ""
"""Whose the workflows of the platform's own tasks are: no agent's owner can be called so."""
WHOLE_LIFE = "life"
"""The period of a task's budget: it is one for the task's whole life, retries included."""


class Resource(StrEnum):
    """What is budgeted; the value is also the unit of its accounts."""

    TOKENS = "tokens"
    """Tokens of a language model, read and written together."""
    MILLISECONDS = "milliseconds"
    """Computing time."""
    MICROCREDITS = "microcredits"
    """Money."""


class BudgetScope(StrEnum):
    """Whose use is counted together."""

    TASK = "task"
    """One task with its retries, for its whole life."""
    AGENT = "agent"
    """One agent, for a UTC day."""
    WORKFLOW = "workflow"
    """All tasks that the agents of one owner posted under one workflow's name, for a UTC day."""
    DAY = "day"
    """The whole platform, for a UTC day."""


@dataclass(frozen=True, slots=True, order=True)
class BudgetKey:
    """Which budget: a scope, and in it an agent's or task's id, a workflow's owner and name, "" for a day."""

    scope: BudgetScope
    subject: str = ""

    def __str__(self) -> str:
        """Return it as it is written: `agent:7`, `workflow:acme/report`, `day`."""
        return f"{self.scope}:{self.subject}" if self.subject else str(self.scope)

    def period(self, now_us: int) -> str:
        """Return the period that an instant falls in: a UTC day as 2026-01-31, or a task's whole life."""
        if self.scope is BudgetScope.TASK:
            return WHOLE_LIFE
        return to_datetime(now_us).strftime("%Y-%m-%d")

    def renews_at_us(self, now_us: int) -> int | None:
        """Return the instant of the next UTC midnight; None for a task, whose budget is not renewed."""
        return None if self.scope is BudgetScope.TASK else (now_us // DAY_US + 1) * DAY_US


DAY = BudgetKey(BudgetScope.DAY)


def workflow_key(owner: str, name: str) -> BudgetKey:
    """Return the key of an owner's workflow: `workflow:acme/report`, `workflow:/report` for the platform.

    `%` and `/` in the owner are written %25 and %2F, so that workflows of two owners never have one key.
    """
    escaped = owner.replace("%", "%25").replace("/", "%2F")
    return BudgetKey(BudgetScope.WORKFLOW, f"{escaped}/{name}")


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget as it stands. Amounts are in the resource's unit.

    limit: what an operator set, or the default; cap: what is in force. The cap is the limit, except where it
    was lowered under what had been reserved or spent by then.
    """

    key: BudgetKey
    resource: Resource
    period: str
    limit: int
    cap: int
    reserved: int
    spent: int

    @property
    def free(self) -> int:
        """Return what may still be reserved."""
        return self.cap - self.reserved - self.spent


def parse_key(text: str) -> BudgetKey:
    """Return the key that is written so: `day`, `agent:7`, `task:12`, `workflow:OWNER/NAME`.

    Raises InvalidValueError for anything else.
    """
    word, colon, subject = text.partition(":")
    is_known = word in set(BudgetScope)
    scope = BudgetScope(word) if is_known else BudgetScope.DAY
    is_numbered = scope in (BudgetScope.TASK, BudgetScope.AGENT)
    fits = is_known and bool(colon) == (scope is not BudgetScope.DAY)
    if fits and is_numbered:
        fits = subject.isascii() and subject.isdigit() and 0 < int(subject[:20]) < 2**63
        subject = str(int(subject)) if fits else subject
    elif fits and scope is BudgetScope.WORKFLOW:
        owner, slash, name = subject.partition("/")
        owner = owner.replace("%2F", "/").replace("%2f", "/").replace("%25", "%")
        fits = bool(slash) and len(owner) <= OWNER_LENGTH and 1 <= len(name) <= WORKFLOW_LENGTH
        subject = workflow_key(owner, name).subject
    if not fits:
        msg = f"a budget is day, agent:ID, task:ID or workflow:OWNER/NAME, not {text[:90]!r}"
        raise InvalidValueError(msg, field="budget")
    return BudgetKey(scope, subject)


def check_amount(amount: int, *, field: str = "amount", lowest: int = 1) -> int:
    """Return the amount; raise InvalidValueError unless it lies in `lowest`..10^15."""
    if not lowest <= amount <= AMOUNT_HIGHEST:
        msg = f"{field} must be a whole number from {lowest} to {AMOUNT_HIGHEST}, not {amount}"
        raise InvalidValueError(msg, field=field)
    return amount


def first_exhausted(lines: Sequence[BudgetLine], amount: int) -> BudgetLine | None:
    """Return the first of the budgets that has not so much left, None when all have."""
    return next((line for line in lines if line.free < amount), None)


def refusal(line: BudgetLine, amount: int, now_us: int, *, field: str = "amount") -> ConflictError:
    """Return what is said to whoever asks for more than a budget has left."""
    renews_at_us = line.key.renews_at_us(now_us)
    renews_at = None if renews_at_us is None else to_rfc3339(renews_at_us)
    renewal = f"it is renewed at {renews_at}" if renews_at else "it is never renewed"
    msg = (
        f"{amount} {line.resource} do not fit the budget {line.key}: of {line.cap}, {line.free} are free, "
        f"{line.reserved} are reserved and {line.spent} spent; {renewal}, or an operator sets another limit"
    )
    return ConflictError(
        msg,
        field=field,
        code="budget_exhausted",
        scope=str(line.key.scope),
        budget=str(line.key),
        resource=str(line.resource),
        cap=line.cap,
        reserved=line.reserved,
        spent=line.spent,
        free=line.free,
        renews_at=renews_at,
    )


def cap_for(limit: int, *, reserved: int, spent: int) -> int:
    """Return the cap in force under a limit: never under what is reserved or spent already."""
    return max(limit, reserved + spent)


def breaches(lines: Iterable[BudgetLine]) -> list[str]:
    """Return what breaks invariant B1 (settled + reserved ≤ cap in every scope), one sentence each."""
    found = []
    for line in lines:
        if line.reserved + line.spent > line.cap:
            use = f"{line.spent} settled and {line.reserved} reserved exceed the cap {line.cap}"
            found.append(f"{line.key} {line.period}: {use} {line.resource}")
        if min(line.reserved, line.spent, line.cap) < 0:
            amounts = f"cap {line.cap}, reserved {line.reserved}, spent {line.spent} {line.resource}"
            found.append(f"{line.key} {line.period}: an amount is negative ({amounts})")
    return found
