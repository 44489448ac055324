"""`nacre simulate`: the whole platform on a virtual clock, against a truth that only the simulation knows.

Stands at the edge, before `app.simulation`, which does it. It never looks at a database of yours.
"""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.options import AsJson, examples
from app.lazy import load

LARGEST_COUNT = 100_000


class ScenarioName(StrEnum):
    """What is true in the simulated world."""

    NULL = "null"
    """No parameter does anything: whatever is promoted is promoted falsely."""
    STREAM = "stream"
    """1,000 proposals of which 10 % are truly better."""
    DRIFT = "drift"
    """Useless changes while success drifts from 60 to 90 % and the share ramps."""
    SLOW_FAILURE = "slow-failure"
    """Longer time limits that cure nothing and make failures resolve later."""
    UNLIKE_AGENTS = "unlike-agents"
    """Useless changes on twelve agents of very different ability."""
    HARM = "harm"
    """Changes that take success from 90 to 75 %."""
    MARKET = "market"
    """No changes: honest agents, newcomers, a fifth liars and a drift, under an award rule and an attack."""


class AttackName(StrEnum):
    """What the liars of the market do besides asking little and failing."""

    PLAIN = "plain"
    RETURN = "return"
    BUY = "buy"
    RING = "ring"
    RING_RETURN = "ring-return"
    RING_LATE = "ring-late"
    ALL = "all"


class RuleName(StrEnum):
    """The award rule of the simulated market."""

    COOLED = "cooled"
    GUARDED = "guarded"
    FIRST_PRICE = "first-price"
    GREEDY = "greedy"
    LOWEST_PRICE = "lowest-price"
    FIRST_COME = "first-come"
    ALL = "all"


Name = Annotated[
    ScenarioName,
    typer.Argument(metavar="SCENARIO", help="What is true in the simulated world.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything.")]
Laps = Annotated[
    int | None,
    typer.Option(
        "--laps",
        min=1,
        max=LARGEST_COUNT,
        help="Laps to run (scenario null).",
        show_default=False,
    ),
]
Proposals = Annotated[
    int | None,
    typer.Option(
        "--proposals", min=1, max=LARGEST_COUNT, help="Proposals to file (the others).", show_default=False
    ),
]
Tasks = Annotated[
    int | None,
    typer.Option(
        "--tasks",
        min=200,
        max=LARGEST_COUNT,
        help="Tasks to run (scenario market; 4,000).",
        show_default=False,
    ),
]
Attack = Annotated[
    AttackName | None,
    typer.Option("--attack", help="What the liars do (scenario market; plain).", show_default=False),
]
Rule = Annotated[
    RuleName | None,
    typer.Option("--rule", help="The award rule (scenario market; cooled).", show_default=False),
]
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep", metavar="FILE", help="Keep the database in this new SQLite file.", show_default=False
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    shown = examples(
        "nacre simulate null --seed 7 --laps 40",
        "nacre simulate stream --proposals 200 --json",
        "nacre simulate harm --keep harm.db",
        "nacre simulate market --attack buy --rule all",
    )
    app.command("simulate", **shown)(simulate)


def simulate(
    scenario: Name,
    *,
    seed: Seed = 7,
    laps: Laps = None,
    proposals: Proposals = None,
    tasks: Tasks = None,
    attack: Attack = None,
    rule: Rule = None,
    keep: Keep = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> int:
    """Run the real platform on a virtual clock with seeded agents, and count what it promotes.

    null: no parameter does anything; anomalies open laps (100 laps)

    stream: proposals of which 10 % are truly better (1,000 proposals)

    drift: useless changes while success drifts from 60 to 90 % and the share ramps (100 proposals)

    slow-failure: longer time limits that cure nothing and make failures resolve later (60 proposals)

    unlike-agents: useless changes on 12 agents of very different ability (100 proposals)

    harm: changes that take success from 90 to 75 % (50 proposals)

    market: honest agents, newcomers, liars and a drift under an award rule and an attack (4,000 tasks)

    Liars ask little and fail; with --attack they also return under new names, or buy successes from
    requesters of their own, alone (buy) or in rings. `all` runs every attack, or every rule, side by side.

    In brackets is how many are run unless --laps, --proposals or --tasks says otherwise. About 300 simulated
    tasks run in a second of a common processor core, and an experiment takes a few hundred of them.

    Same scenario, same seed, same ledger root. Exits with 1 if the run did not end, its ledger does not
    verify, or an event or a job was lost on the way.
    """
    counts = {"laps": laps, "proposals": proposals, "tasks": tasks}
    choices = {"attack": attack and attack.value, "rule": rule and rule.value}
    code = load("app.cli.actions.simulating:simulate")(
        scenario.value, seed, counts=counts, choices=choices, keep=keep, is_quiet=quiet, as_json=as_json
    )
    return int(code)
