"""The registry of parameters: each a typed, bounded setting with an owner and a risk class.

Stands under production config (what is in force) and the proposal system (what may be asked for).
`OPEN` the loop may promote, `GATED` needs a person, `FIXED` never changes by proposal: everything that
restrains the loop is FIXED. It never holds a value in force; that is the store's. Names are never reused.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from services.domain.errors import InvalidValueError, NotFoundError


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
    """One setting. Values are decimal text, so that the ledger can hold them exactly.

    `low` and `high` are inclusive bounds; `step_max` is the largest factor by which one change may
    multiply or divide the value.
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
                  is_whole=True, layer=f"{task_type}{ALLOCATION}"),
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
              "Share of the reserve price that a winner stakes and loses when it fails.", is_whole=True),
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
              "Share of the price that a requester pays when it takes an awarded task back.", is_whole=True),
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
              is_whole=True),
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
    Parameter("consensus.start_grace_seconds", "86400", "1", "2592000", "2", "seconds", "platform",
              Risk.FIXED, "A passed proposal expires when no experiment could start within this time."),
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
              "microcredits", "platform", Risk.GATED, "Most that an investigation pays.", is_whole=True),
    *BUDGET_PARAMETERS,
)  # fmt: skip


class ParameterRegistry:
    """An immutable map of parameters by name, with the checks a proposed value must pass."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._by_name: dict[str, Parameter] = {}
        for parameter in parameters:
            _check_definition(parameter, self._by_name)
            self._by_name[parameter.name] = parameter

    def __iter__(self) -> Iterator[Parameter]:
        """Iterate over the parameters by name."""
        return iter(sorted(self._by_name.values(), key=lambda parameter: parameter.name))

    def __len__(self) -> int:
        """Return how many parameters are registered."""
        return len(self._by_name)

    def get(self, name: str) -> Parameter:
        """Return the parameter of exactly this name; raise NotFoundError otherwise."""
        found = self._by_name.get(name)
        if found is None:
            msg = f"there is no parameter {name!r}; list them with `nacre parameter list`"
            raise NotFoundError(msg, field="parameter")
        return found

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
    parse_value(parameter, parameter.default)


def parse_value(parameter: Parameter, text: str) -> Decimal:
    """Return the decimal in `text`; raise InvalidValueError when it is no number or out of bounds."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        msg = f"{parameter.name} takes a decimal number, not {text[:40]!r}"
        raise InvalidValueError(msg, field="to", code="value_not_a_number")
    if not Decimal(parameter.low) <= value <= Decimal(parameter.high):
        msg = f"{parameter.name} must be within {parameter.low} and {parameter.high} {parameter.unit}, "
        msg += f"not {text[:40]}"
        raise InvalidValueError(msg, field="to", code="value_out_of_bounds")
    if parameter.is_whole and value != value.to_integral_value():
        msg = f"{parameter.name} takes whole {parameter.unit}; {text[:40]} is not whole"
        raise InvalidValueError(msg, field="to", code="value_not_whole")
    return value


def canonical_value(parameter: Parameter, text: str) -> str:
    """Return the one spelling of a value (no exponent, no trailing zeros), after checking it."""
    value = parse_value(parameter, text)
    plain = format(value.normalize(), "f")
    return "0" if plain in {"-0", "0"} else plain


def check_change(parameter: Parameter, before: str, after: str) -> str:
    """Return the canonical new value if the loop may ask for it; raise InvalidValueError otherwise.

    Refused: FIXED parameters, values out of bounds, no change at all, and steps beyond `step_max`.
    """
    if parameter.risk is Risk.FIXED:
        msg = f"{parameter.name} is FIXED: it restrains the loop, and no proposal may change it"
        raise InvalidValueError(msg, field="parameter", code="parameter_fixed")
    new = parse_value(parameter, after)
    old = Decimal(before)
    if new == old:
        msg = f"{parameter.name} is already {before}"
        raise InvalidValueError(msg, field="to", code="value_unchanged")
    factor = Decimal(parameter.step_max)
    if old != 0 and not (old / factor <= new <= old * factor):
        msg = f"one change may move {parameter.name} from {before} "
        msg += f"at most to {old / factor:f} or {old * factor:f}"
        raise InvalidValueError(msg, field="to", code="step_too_large")
    return canonical_value(parameter, after)
