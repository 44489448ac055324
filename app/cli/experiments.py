"""`nacre experiment`: both arms of what was tried, and the same statistics for records of your own.

Stands at the edge, over layer 6. `analyze` and `plan` need neither a database nor a server: they are for
checking the bet before trusting the loop. These commands only read: operators do not decide experiments.
"""

from typing import Annotated

import typer

from app.cli.measures import Measure
from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Id, Limit, Oldest, examples, group
from app.lazy import load
from services.domain.states import ExperimentState

READING = "app.cli.actions.reading"

experiments = group("experiment", "Both arms of what was tried, the verdicts, and their statistics offline.")

Alpha = Annotated[
    float, typer.Option("--alpha", help="Chance that a useless change wins, at all looks together.")
]
TASKS_HIGHEST = 10**12
MinimumTasks = Annotated[
    int,
    typer.Option("--minimum-tasks", min=0, max=TASKS_HIGHEST, help="Tasks before a win or futility counts."),
]
Cap = Annotated[
    int | None,
    typer.Option(
        "--cap", min=0, max=TASKS_HIGHEST, help="Tasks after which it ends undecided.", show_default=False
    ),
]


@experiments.command("list", **examples("nacre experiment list --state running"))
def list_experiments(
    state: Annotated[ExperimentState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List experiments with both arms and the evidence so far."""
    asked = {"state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("experiment", database, asked, as_json=as_json))


@experiments.command("show", **examples("nacre experiment show 2 --json"))
def show_experiment(experiment_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one experiment with the path of its evidence in assignment order."""
    return int(load(f"{READING}:show_item")("experiment", database, experiment_id, as_json=as_json))


@experiments.command(
    "analyze",
    **examples(
        "nacre experiment analyze tasks.csv --effect 0.1 --base 0.67",
        "nacre experiment analyze costs.csv --metric cost --json",
        "zcat tasks.csv.gz | nacre experiment analyze - --margin 0.05",
    ),
)
def analyze(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A CSV file, or - for standard input.")],
    *,
    metric: Annotated[
        Measure | None,
        typer.Option("--metric", help="What outcomes are (default: the metric column, else success)."),
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(
            "--effect",
            help="Stated improvement, fixed beforehand: half the wealth is bet on it; it can be refuted.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        float | None,
        typer.Option("--base", help="Success rate known from before, worth 50 tasks.", show_default=False),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Also test that treatment is not worse by this.", show_default=False),
    ] = None,
    alpha: Alpha = 0.05,
    minimum_tasks: MinimumTasks = 0,
    cap: Cap = None,
    as_json: AsJson = False,
) -> int:
    """Say what the records of an experiment show, checked after every task. Needs no database.

    FILE has a header and one row per task in order of assignment. Columns: pi (probability with which the
    task could get treatment, from 0.000001 to 0.999999), arm (0 or control, 1 or treatment), outcome.
    Optional: stratum (what is known before the arm is drawn: the agent, or the task type), unit (what was
    assigned, when that is more than a task: it is bet on once, on its mean), metric, ordinal (must rise:
    nothing counted twice or out of order). Task counts in options are counts of units.

    For duration and cost, effect and margin are gaps of P(a treated task is lower) from one half. Exits
    with 0 whatever the verdict is. In JSON, crossed_at and decided_at count rows from 0.
    """
    asked = {
        "metric": metric,
        "effect": effect,
        "base_rate": base,
        "margin": margin,
        "alpha": alpha,
        "minimum_tasks": minimum_tasks,
        "cap_tasks": cap,
    }
    return int(load("app.cli.actions.analysis:analyze_file")(file, asked, as_json=as_json))


@experiments.command(
    "plan",
    **examples(
        "nacre experiment plan --base 0.67 --mde 0.27",
        "nacre experiment plan --base 0.90 --mde 0.03 --traffic 500/day --cap 3000",
        "nacre experiment plan --metric cost --mde 0.1 --traffic 20/hour",
    ),
)
def plan(
    *,
    mde: Annotated[
        float, typer.Option("--mde", help="Smallest improvement worth having.", show_default=False)
    ],
    base: Annotated[
        float | None,
        typer.Option("--base", help="Success rate now (not for duration and cost).", show_default=False),
    ] = None,
    metric: Annotated[Measure, typer.Option("--metric", help="What outcomes are.")] = Measure.SUCCESS,
    traffic: Annotated[
        str | None,
        typer.Option("--traffic", metavar="N/UNIT", help="Such as 500/day, 20/hour.", show_default=False),
    ] = None,
    cap: Cap = None,
    minimum_tasks: MinimumTasks = 20,
    alpha: Alpha = 0.05,
    share: Annotated[float, typer.Option("--share", help="Treatment share in the trial.")] = 0.5,
    confirm_alpha: Annotated[
        float | None,
        typer.Option(
            "--confirm-alpha",
            help="Level to confirm at (default: the first level of a new stream, 0.00116 at alpha 0.05).",
            show_default=False,
        ),
    ] = None,
    confirm_share: Annotated[
        float, typer.Option("--confirm-share", help="Treatment share in probation.")
    ] = 0.85,
    as_json: AsJson = False,
) -> int:
    """Say how many tasks, and how long, an improvement takes to show and to confirm. Needs no database.

    The figures are what to expect when the improvement is exactly the MDE and no guardrail takes longer;
    beside them stands the information bound, below which no bet gets. The trial shows it (E reaches
    1/alpha), probation with most tasks treated confirms it. Times count the minimum cycle that a trial lasts
    (24 hours by default), not its ramp. For duration and cost the MDE is the gap of P(a treated task is
    lower) from one half.
    """
    asked = {
        "metric": metric,
        "base": base,
        "effect": mde,
        "alpha": alpha,
        "share": share,
        "confirm_alpha": confirm_alpha,
        "confirm_share": confirm_share,
    }
    limits = {"traffic": traffic, "cap_tasks": cap, "minimum_tasks": minimum_tasks}
    return int(load("app.cli.actions.planning:show_plan")(asked, limits, as_json=as_json))
