"""The registry of parameters: each a typed, bounded setting with an owner and a risk class.

Stands under production config (what is in force) and the proposal system (what may be asked for).
`OPEN` the loop may promote, `GATED` needs a person, `FIXED` never changes by proposal: everything that
restrains the loop is FIXED. It never holds a value in force; that is the store's. Names are never reused.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from services.domain import parameter_kinds as kinds
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.lookalikes import skeleton
from services.domain.parameter_kinds import LENGTH_MAX, SHOWN, Kind
from services.domain.parameter_names import Resemblance


class Risk(StrEnum):
    """Who may change a parameter."""

    OPEN = "open"
    """The loop may promote a tested change by itself."""
    GATED = "gated"
    """A person must confirm."""
    FIXED = "fixed"
    """Never by proposal: it restrains the loop."""


ALLOCATION = ".allocation"
"""How the layers end whose parameters decide who gets a task."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting. Values are text (numbers decimal), so that the ledger can hold them exactly.

    `low` and `high` are inclusive bounds and `step_max` the largest factor by which one change may multiply
    or divide the value; all three only bind numbers and durations. `choices` are the words of a CHOICE,
    `length_max` the most characters of a TEXT. `sets_pay`: the value decides what agents earn.
    """

    name: str
    default: str
    low: str
    high: str
    step_max: str
    unit: str
    owner: str
    risk: Risk
    summary: str
    is_whole: bool = False
    layer: str = ""
    kind: Kind = Kind.NUMBER
    choices: tuple[str, ...] = ()
    length_max: int = LENGTH_MAX
    sets_pay: bool = False

    @property
    def is_number(self) -> bool:
        """Tell whether the value is a number: of units, or of seconds."""
        return self.kind in {Kind.NUMBER, Kind.DURATION}

    @property
    def layer_name(self) -> str:
        """Return the layer: parameters of one layer are coupled and never on trial at the same time."""
        return self.layer or self.task_type

    @property
    def is_allocation(self) -> bool:
        """Tell whether it decides who gets a task: it acts before anybody has won, on all agents at once."""
        return self.layer_name.endswith(ALLOCATION)

    @property
    def task_type(self) -> str:
        """Return the task type (or the part of the platform) that the parameter governs."""
        return self.name.split(".", 1)[0]


def task_policy(task_type: str, owner: str) -> tuple["Parameter", ...]:
    """Return the settings that the market keeps for every task type: its award rule and its retries."""
    return (
        Parameter(f"{task_type}.award_rule", "0", "0", "5", "5", "rule", owner, Risk.OPEN,
                  "How bids are ranked and paid: 0 cooled draw, second score; 1 guarded (low quantile), "
                  "second score; 2 cooled draw, first price; 3 greedy reputation, first price; "
                  "4 lowest price; 5 first come.",
                  is_whole=True, layer=f"{task_type}{ALLOCATION}", sets_pay=True),
        Parameter(f"{task_type}.maximum_attempts", "2", "1", "5", "5", "attempts", owner, Risk.GATED,
                  "Attempts that a task may have in all.", is_whole=True),
        Parameter(f"{task_type}.retry_failures", "0", "0", "1", "2", "0 or 1", owner, Risk.GATED,
                  "Whether work that failed or was not verified goes to the next-best bid, as silence does.",
                  is_whole=True),
        Parameter(f"{task_type}.retry_wait_seconds", "0", "0", "3600", "3600", "seconds", owner, Risk.GATED,
                  "How long a task waits before it goes to the next-best bid."),
    )  # fmt: skip


BUDGET_UNITS = ("tokens", "milliseconds", "microcredits")
BUDGET_DEFAULTS = {
    "task": (50_000, 3_600_000, 5_000_000),
    "agent": (200_000, 14_400_000, 100_000_000_000),
    "workflow": (500_000, 28_800_000, 10_000_000_000),
    "day": (2_000_000, 86_400_000, 1_000_000_000_000),
}
"""What a budget holds where no operator has set a limit, in the order of the units.

Small enough that nothing unattended gets expensive: a day's tokens are worth some 30 dollars at the price of
good models (15 dollars per million written), an agent's a tenth of that, a task's a quarter of an agent's; a
day's computing time is one processor around the clock, an agent's four hours of it, a task's one. Money stays
on the platform: an agent spends at most what an operator grants by vouching for it, a workflow a tenth of
that, the platform what ten such agents may, and a task's own sub-contracts what an investigation may cost.
"""
_BUDGET_SUBJECTS = {
    "task": "one task may use in its whole life, its retries included",
    "agent": "one agent may use in a UTC day",
    "workflow": "all tasks of one workflow may use in a UTC day",
    "day": "the whole platform may use in a UTC day",
}
BUDGET_PARAMETERS: tuple[Parameter, ...] = (
    *(
        Parameter(
            f"budget.{scope}_{unit}", str(amount), "0", "1000000000000000", "2", unit, "platform", Risk.FIXED,
            f"What {_BUDGET_SUBJECTS[scope]} where no operator has set a limit.", is_whole=True,
        )
        for scope, amounts in BUDGET_DEFAULTS.items()
        for unit, amount in zip(BUDGET_UNITS, amounts, strict=True)
    ),
    Parameter("budget.hold_seconds", "900", "1", "86400", "2", "seconds", "platform", Risk.FIXED,
              "A budget hold that names no time limit of its own expires after this long."),
)  # fmt: skip


RETIRED_NAMES: frozenset[str] = frozenset()
"""Names that were once parameters; they are never registered again."""

PLATFORM_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("market.bid_window_seconds", "300", "0.05", "86400", "2", "seconds", "platform", Risk.GATED,
              "How long bids on a task are taken after it was posted."),
    Parameter("market.start_window_seconds", "60", "1", "3600", "2", "seconds", "platform", Risk.GATED,
              "How long the winner of an award may wait before it takes the lease."),
    Parameter("market.cooling", "4", "1", "16", "2", "factor", "platform", Risk.GATED,
              "Divides how widely the award rule's draw spreads: higher explores less."),
    Parameter("market.stake_percent", "20", "0", "50", "2", "percent", "platform", Risk.FIXED,
              "Share of the reserve price that a winner stakes and loses when it fails.", is_whole=True,
              sets_pay=True),
    Parameter("market.maximum_attempts", "5", "1", "5", "5", "attempts", "platform", Risk.GATED,
              "Most attempts that any task may have; each type has its own number below it.", is_whole=True),
    Parameter("market.heartbeat_seconds", "300", "1", "86400", "2", "seconds", "platform", Risk.GATED,
              "A lease whose holder is silent for this long is taken over by the next-best bid."),
    Parameter("market.deadline_grace_seconds", "60", "0", "3600", "2", "seconds", "platform", Risk.FIXED,
              "Work that was leased in time may end this long after the task's deadline."),
    Parameter("market.entry_percent", "10", "0", "100", "2", "percent", "platform", Risk.FIXED,
              "Share of the last 100 awards that may go to unproven agents while a proven one is better.",
              is_whole=True),
    Parameter("market.entry_jobs", "5", "1", "100", "2", "jobs", "platform", Risk.FIXED,
              "An agent is unproven for its first so many jobs.", is_whole=True),
    Parameter("market.counterparty_jobs", "2", "1", "1000", "2", "jobs", "platform", Risk.FIXED,
              "Evidence that an agent earns with one requester counts for at most so many jobs of a type."),
    Parameter("market.guard_quantile", "0.1", "0.01", "0.5", "2", "probability", "platform", Risk.GATED,
              "Guarded task types judge an agent by this quantile of its record instead of a draw."),
    Parameter("market.cancel_percent", "10", "0", "100", "2", "percent", "platform", Risk.FIXED,
              "Share of the price that a requester pays when it takes an awarded task back.", is_whole=True,
              sets_pay=True),
    Parameter("market.open_bids_per_agent", "500", "1", "100000", "2", "bids", "platform", Risk.FIXED,
              "Bids that one agent may have on tasks that still take bids.", is_whole=True),
    Parameter("market.open_tasks_per_requester", "10000", "10", "10000000", "2", "tasks", "platform",
              Risk.FIXED,
              "A tenth of it is what an agent that nobody vouched for may have posted and not ended.",
              is_whole=True),
    Parameter("market.crash_limit", "12", "2", "1000", "2", "crashes", "platform", Risk.FIXED,
              "So many crashes in a row suspend an agent at once.", is_whole=True),
    Parameter("market.suspension_seconds", "86400", "0", "31536000", "2", "seconds", "platform", Risk.FIXED,
              "A suspended agent may come back by a new stake after this long."),
    Parameter("market.reinstatement_microcredits", "1000000", "0", "1000000000000", "2", "microcredits",
              "platform", Risk.FIXED,
              "The new stake with which a suspended agent comes back; lost if it is suspended again.",
              is_whole=True, sets_pay=True),
    Parameter("market.lease_grace_seconds", "1", "0.1", "60", "2", "seconds", "platform", Risk.FIXED,
              "Added to the time allowed before a silent lease is taken away."),
    Parameter("observatory.success_line_percent", "70", "1", "99", "2", "percent", "platform", Risk.FIXED,
              "Task success under this line opens an episode whatever the baseline.", is_whole=True),
    Parameter("observatory.line_minimum_tasks", "24", "5", "10000", "2", "tasks", "platform", Risk.FIXED,
              "Fewest ended tasks before the line counts.", is_whole=True),
    Parameter("observatory.weekly_false_alarms", "1", "0.01", "100", "2", "alarms", "platform", Risk.FIXED,
              "Budget of false alarms a week, shared by all metrics."),
    Parameter("observatory.window_seconds", "3600", "1", "86400", "2", "seconds", "platform", Risk.FIXED,
              "How long a window of the metrics should be; one of more than twice this is a gap."),
    Parameter("observatory.watch_counts", "1", "0", "1", "2", "switch", "platform", Risk.FIXED,
              "1: falls and rises of counts open episodes. 0: counts are published only.", is_whole=True),
    Parameter("observatory.watch_gauges", "1", "0", "1", "2", "switch", "platform", Risk.FIXED,
              "1: gauges, durations and amounts open episodes. 0: they are published only.", is_whole=True),
    Parameter("observatory.windows_kept_days", "35", "15", "3650", "2", "days", "platform", Risk.FIXED,
              "After so many days the windows of a day are merged into one.", is_whole=True),
    Parameter("observatory.days_kept", "730", "30", "36500", "2", "days", "platform", Risk.FIXED,
              "After so many days the merged windows go too.", is_whole=True),
    Parameter("observatory.cool_down_seconds", "86400", "1", "2592000", "2", "seconds", "platform",
              Risk.FIXED, "A series whose episode was given up opens no new one for this long."),
    Parameter("observatory.recovery_seconds", "604800", "1", "2592000", "2", "seconds", "platform",
              Risk.FIXED, "A promoted change has this long to bring its metric back."),
    Parameter("consensus.threshold_percent", "51", "51", "100", "2", "percent", "platform", Risk.FIXED,
              "Share of the votes cast for or against that a proposal needs.", is_whole=True),
    Parameter("consensus.minimum_ballots", "3", "3", "100", "2", "ballots", "platform", Risk.FIXED,
              "Fewest ballots for or against for a valid vote.", is_whole=True),
    Parameter("consensus.minimum_period_seconds", "300", "0.1", "604800", "2", "seconds", "platform",
              Risk.FIXED,
              "No vote is decided before this much time has passed."),
    Parameter("consensus.voting_period_seconds", "86400", "1", "2592000", "2", "seconds", "platform",
              Risk.FIXED,
              "Voting closes this long after it opened."),
    Parameter("consensus.minimum_settled_jobs", "5", "0", "1000", "2", "jobs", "platform", Risk.FIXED,
              "Ended jobs before an agent that nobody vouched for may vote.", is_whole=True),
    Parameter("consensus.cool_off_seconds", "604800", "1", "31536000", "2", "seconds", "platform", Risk.FIXED,
              "The same change may not be proposed again for this long after it ended."),
    Parameter("consensus.filings_per_day", "20", "1", "10000", "2", "proposals", "platform", Risk.FIXED,
              "So many proposals may one owner file within 24 hours.", is_whole=True),
    Parameter("consensus.start_grace_seconds", "86400", "1", "2592000", "2", "seconds", "platform",
              Risk.FIXED, "A passed proposal expires when no experiment could start within this time."),
    Parameter("consensus.electorate", "agent", "", "", "", "word", "platform", Risk.FIXED,
              "Who has a ballot: agent gives each agent one; owner gives all agents of one owner one.",
              kind=Kind.CHOICE, choices=("agent", "owner")),
    Parameter("consensus.review_seconds", "259200", "1", "2592000", "2", "seconds", "platform", Risk.FIXED,
              "A person has this long to decide on a GATED change; after it the answer is no.",
              kind=Kind.DURATION),
    Parameter("consensus.tenure_days", "1", "0", "365", "2", "days", "platform", Risk.FIXED,
              "An agent that nobody vouched for votes only this many days after it was registered."),
    Parameter("sandbox.treatment_percent", "50", "10", "50", "2", "percent", "platform", Risk.FIXED,
              "Share of tasks that get the new value.", is_whole=True),
    Parameter("sandbox.alpha", "0.05", "0.0001", "0.05", "2", "probability", "platform", Risk.FIXED,
              "Largest chance, over all looks, that a useless change is promoted."),
    Parameter("sandbox.minimum_tasks", "20", "10", "10000", "2", "tasks", "platform", Risk.FIXED,
              "No win is declared on fewer resolved tasks.", is_whole=True),
    Parameter("sandbox.maximum_wait_seconds", "3600", "1", "604800", "2", "seconds", "platform", Risk.FIXED,
              "A task unresolved for this long counts as a failure, in both arms."),
    Parameter("sandbox.minimum_per_arm", "5", "0", "10000", "2", "tasks", "platform", Risk.FIXED,
              "No win is declared on fewer resolved tasks in either arm.", is_whole=True),
    Parameter("sandbox.minimum_cycle_seconds", "86400", "0", "2592000", "2", "seconds", "platform",
              Risk.FIXED, "No win is declared on tasks assigned earlier: a daily cycle has to pass."),
    Parameter("sandbox.ramp_percent", "10", "1", "50", "2", "percent", "platform", Risk.FIXED,
              "Share of tasks that get the new value at first.", is_whole=True),
    Parameter("sandbox.ramp_tasks", "20", "0", "10000", "2", "tasks", "platform", Risk.FIXED,
              "The ramp goes on to the full share after this many resolved tasks without a hint of harm.",
              is_whole=True),
    Parameter("sandbox.window_seconds", "3600", "0.1", "604800", "2", "seconds", "platform", Risk.FIXED,
              "Length of a unit where a change touches agents or the whole platform."),
    Parameter("sandbox.guardrail_margin_percent", "5", "1", "50", "2", "percent", "platform", Risk.FIXED,
              "By how much task success may be worse under a change that is tried for speed or cost.",
              is_whole=True),
    Parameter("sandbox.probation_percent", "15", "10", "15", "2", "percent", "platform", Risk.FIXED,
              "Share of tasks that stay on the old value until a promotion is confirmed.", is_whole=True),
    Parameter("sandbox.probation_tasks", "3000", "20", "1000000", "2", "tasks", "platform", Risk.FIXED,
              "A promotion that is not confirmed after this many resolved tasks is rolled back.",
              is_whole=True),
    Parameter("sandbox.probation_seconds", "1209600", "1", "31536000", "2", "seconds", "platform",
              Risk.FIXED, "A promotion that is not confirmed within this time is rolled back."),
    Parameter("sandbox.holdout_percent", "3", "0", "5", "2", "percent", "platform", Risk.FIXED,
              "Share of tasks that stay on the epoch's starting values for good; 0 keeps none.",
              is_whole=True),
    Parameter("sandbox.placebo_tasks", "400", "0", "1000000", "2", "tasks", "platform", Risk.FIXED,
              "Length of each A/A placebo in the standing slot; 0 leaves the slot empty.", is_whole=True),
    Parameter("sandbox.dependence", "0", "0", "1", "2", "0 or 1", "platform", Risk.FIXED,
              "Levels of the stream: 0 draws them by LORD++, 1 by e-LOND (valid under any dependence).",
              is_whole=True),
    Parameter("investigation.timeout_seconds", "1800", "10", "86400", "2", "seconds", "platform", Risk.GATED,
              "Time an agent has for an investigation once it holds the lease."),
    *task_policy("investigation", "platform"),
    Parameter("investigation.deadline_seconds", "86400", "60", "2592000", "2", "seconds", "platform",
              Risk.GATED, "An investigation that nothing has decided ends after this long."),
    Parameter("investigation.reserve_price_microcredits", "5000000", "1000", "1000000000", "2",
              "microcredits", "platform", Risk.GATED, "Most that an investigation pays.", is_whole=True,
              sets_pay=True),
    *BUDGET_PARAMETERS,
)  # fmt: skip


class ParameterRegistry:
    """An immutable map of parameters by name, with the checks a proposed value must pass."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._by_name: dict[str, Parameter] = {}
        shapes: dict[str, str] = {}
        for parameter in parameters:
            _check_definition(parameter, self._by_name)
            self._by_name[parameter.name] = parameter
            twin = shapes.setdefault(skeleton(parameter.name), parameter.name)
            if twin != parameter.name:
                msg = f"parameter name {parameter.name} could be mistaken for {twin}; choose another one"
                raise InvalidValueError(msg, field="parameter", resembles=twin)
        self._fixed = Resemblance(name for name, one in self._by_name.items() if one.risk is Risk.FIXED)

    def __iter__(self) -> Iterator[Parameter]:
        """Iterate over the parameters by name."""
        return iter(sorted(self._by_name.values(), key=lambda parameter: parameter.name))

    def __len__(self) -> int:
        """Return how many parameters are registered."""
        return len(self._by_name)

    def get(self, name: str) -> Parameter:
        """Return the parameter of exactly this name.

        Raises InvalidValueError (`parameter_fixed`) where the text passes for a FIXED one by case, look-alike
        letters, path or batch, NotFoundError for any other unknown name.
        """
        found = self.find(name)
        if found is not None:
            return found
        fixed = self.passes_for(name)
        if fixed is not None:
            msg = f"{name[:96]!a} is no parameter; it resembles {fixed}, which is FIXED"
            raise InvalidValueError(msg, field="parameter", code="parameter_fixed", resembles=fixed)
        msg = f"there is no parameter {name[:96]!a}; list them with `nacre parameter list`"
        raise NotFoundError(msg, field="parameter")

    def passes_for(self, name: str) -> str | None:
        """Return the FIXED parameter that a text which is no name at all resembles or holds, or None."""
        return None if name in self._by_name else self._fixed.of(name)

    def find(self, name: str) -> Parameter | None:
        """Return the parameter of exactly this name, or None."""
        return self._by_name.get(name)

    def with_defaults(self, values: Mapping[str, str]) -> "ParameterRegistry":
        """Return a registry in which the named parameters start from other values, still within bounds."""
        unknown = sorted(set(values) - set(self._by_name))
        if unknown:
            msg = f"there is no parameter {unknown[0]!r}"
            raise NotFoundError(msg, field="parameter")
        return ParameterRegistry(
            replace(parameter, default=values.get(parameter.name, parameter.default)) for parameter in self
        )


def _check_definition(parameter: Parameter, known: Mapping[str, Parameter]) -> None:
    folded = parameter.name.casefold()
    if parameter.name in known or parameter.name in RETIRED_NAMES:
        msg = f"parameter {parameter.name} is registered twice, or its name is retired"
        raise InvalidValueError(msg, field="parameter")
    if unicodedata.normalize("NFKC", folded) != parameter.name or not parameter.name.isascii():
        msg = f"parameter name {parameter.name!r} must be lower-case ASCII"
        raise InvalidValueError(msg, field="parameter")
    if parameter.kind is Kind.CHOICE:
        kinds.check_choices(parameter.name, parameter.choices)
    if parameter.kind is Kind.TEXT:
        _check_text_definition(parameter)
    if parameter.is_number:
        _check_bounds(parameter)
    canonical_value(parameter, parameter.default, field="default")


def _check_text_definition(parameter: Parameter) -> None:
    if parameter.risk is Risk.OPEN:
        msg = f"{parameter.name} is a text: no test reads what it says, so it is gated or fixed"
        raise InvalidValueError(msg, field="risk")
    if not 1 <= parameter.length_max <= LENGTH_MAX:
        msg = f"{parameter.name} may have 1 to {LENGTH_MAX} characters at most, not {parameter.length_max}"
        raise InvalidValueError(msg, field="length_max")


def _check_bounds(parameter: Parameter) -> None:
    """Raise InvalidValueError unless low <= high and the step is a factor of at least 1."""
    found = {field: _read(parameter, getattr(parameter, field)) for field in ("low", "high", "step_max")}
    for field, number in found.items():
        if number is None:
            text, is_duration = getattr(parameter, field), parameter.kind is Kind.DURATION
            raise kinds.refuse_number(
                f"{field} of {parameter.name}", text, field=field, is_duration=is_duration
            )
    low, high, step = (number or Decimal(0) for number in found.values())
    if low > high:
        msg = f"{parameter.name} has its bounds reversed: low {parameter.low} is above high {parameter.high}"
        raise InvalidValueError(msg, field="low")
    if step < 1:
        msg = f"step_max of {parameter.name} is a factor of at least 1, not {parameter.step_max}"
        raise InvalidValueError(msg, field="step_max")


def _read(parameter: Parameter, text: object) -> Decimal | None:
    reads = kinds.read_duration if parameter.kind is Kind.DURATION else kinds.read_number
    return reads(text)


def parse_value(parameter: Parameter, text: str, *, field: str = "to") -> Decimal:
    """Return the number (of seconds) in `text`; raise InvalidValueError for none, or one out of bounds."""
    value = _read(parameter, text) if parameter.is_number else None
    if value is None and not (parameter.is_number and kinds.is_long_number(text)):
        is_duration = parameter.kind is Kind.DURATION
        raise kinds.refuse_number(parameter.name, text, field=field, is_duration=is_duration)
    if value is None or not _bound(parameter, parameter.low) <= value <= _bound(parameter, parameter.high):
        msg = f"{parameter.name} must be within {parameter.low} and {parameter.high} {parameter.unit}, "
        msg += f"not {text[:SHOWN]}" if value is not None else kinds.TOO_LONG
        raise InvalidValueError(msg, field=field, code="value_out_of_bounds")
    if parameter.is_whole and value != value.to_integral_value():
        msg = f"{parameter.name} takes whole {parameter.unit}; {text} is not whole"
        raise InvalidValueError(msg, field=field, code="value_not_whole")
    return value


def _bound(parameter: Parameter, text: str) -> Decimal:
    return _read(parameter, text) or Decimal(0)


def canonical_value(parameter: Parameter, text: str, *, field: str = "to") -> str:
    """Return the one spelling of a value after checking it; raise InvalidValueError with a code otherwise.

    Numbers and durations have no exponent and no trailing zeros, durations are seconds, texts are in NFC.
    """
    if parameter.kind is Kind.CHOICE:
        return kinds.check_choice(parameter.name, text, parameter.choices, field=field)
    if parameter.kind is Kind.TEXT:
        return kinds.check_text(parameter.name, text, parameter.length_max, field=field)
    return kinds.plain(parse_value(parameter, text, field=field))


def check_change(parameter: Parameter, before: str, after: str) -> str:
    """Return the canonical new value if the loop may ask for it; raise InvalidValueError otherwise.

    Refused: FIXED parameters, values out of bounds, no change at all, and steps of a number beyond
    `step_max`. From 0 any step is taken.
    """
    if parameter.risk is Risk.FIXED:
        msg = f"{parameter.name} is FIXED: it restrains the loop, and no proposal may change it"
        raise InvalidValueError(msg, field="parameter", code="parameter_fixed")
    new = canonical_value(parameter, after)
    is_same = Decimal(new) == Decimal(before) if parameter.is_number else new == before
    if is_same:
        msg = f"{parameter.name} is already {before[:SHOWN]}"
        raise InvalidValueError(msg, field="to", code="value_unchanged")
    if parameter.is_number:
        _check_step(parameter, Decimal(before), Decimal(new))
    return new


def _check_step(parameter: Parameter, old: Decimal, new: Decimal) -> None:
    factor = Decimal(parameter.step_max)
    if old != 0 and not (old / factor <= new <= old * factor):
        msg = f"one change may move {parameter.name} from {old:f} "
        msg += f"at most to {old / factor:f} or {old * factor:f}"
        raise InvalidValueError(msg, field="to", code="step_too_large")
