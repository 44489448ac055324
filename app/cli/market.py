"""`nacre task`, `nacre agent`, `nacre task-type`: who is in the market and what is asked for.

Stands at the edge, over the market (L4). It declares commands; what they do is loaded when they run.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Id,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load
from services.domain.states import Scope, TaskKind, TaskState

READING = "app.cli.actions.reading"
POSTING = "app.cli.actions.posting"

tasks = group("task", "Post tasks, list them, show one's whole life, take one back.")
agents = group("agent", "Register agents and see who they are.")
task_types = group("task-type", "What can be asked for.")
market = group("market", "Whether the market's books and rules hold.")
GROUPS = (tasks, agents, task_types, market)

PRICE_HIGHEST_MICROCREDITS = 10**15
DEADLINE_HIGHEST_SECONDS = 30 * 86_400


@tasks.command(
    "post",
    **examples(
        """nacre task post monte_carlo '{"model": {"name": "pi_integral"}, "samples": 20000}'""",
        "nacre task post ml_training --payload @payload.json --reserve-price 300000",
        "nacre task-type show monte_carlo   (prints a payload to start from)",
    ),
)
def post_task(
    task_type: Annotated[str, typer.Argument(metavar="TYPE", help="A name from `nacre task-type list`.")],
    payload_argument: Annotated[
        str | None,
        typer.Argument(metavar="PAYLOAD", help="The payload: JSON, @FILE, or - for standard input."),
    ] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="JSON|@FILE|-", help="The same as an option.")
    ] = None,
    reserve_price_microcredits: Annotated[
        int | None,
        typer.Option(
            "--reserve-price",
            metavar="MICROCREDITS",
            min=1,
            max=PRICE_HIGHEST_MICROCREDITS,
            help="Most that is paid (default: the type's parameter).",
            show_default=False,
        ),
    ] = None,
    deadline_seconds: Annotated[
        int,
        typer.Option(
            "--deadline", metavar="SECONDS", min=1, max=DEADLINE_HIGHEST_SECONDS, help="Ends after."
        ),
    ] = 3_600,
    workflow: Annotated[
        str | None,
        typer.Option(help="Belongs to this workflow and draws on its budget.", show_default=False),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Post a task in the name of the agent `operator`, which is registered when it is first needed."""
    action = load(f"{POSTING}:post_task")
    code = action(
        database,
        task_type=task_type,
        payload=(payload_argument, payload),
        reserve_price_microcredits=reserve_price_microcredits,
        deadline_seconds=deadline_seconds,
        workflow=workflow,
        as_json=as_json,
    )
    return int(code)


@tasks.command("list", **examples("nacre task list --state failed --type research_synthesis --limit 20"))
def list_tasks(
    task_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Of this type only.")
    ] = None,
    state: Annotated[TaskState | None, typer.Option("--state", help="In this state only.")] = None,
    kind: Annotated[
        TaskKind | None, typer.Option("--kind", help="user: what requesters ask; meta: investigations.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List tasks."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    asked = {"type": task_type, "state": state, "kind": kind, **page}
    return int(load(f"{READING}:show_page")("task", database, asked, as_json=as_json))


@tasks.command("show", **examples("nacre task show 12", "nacre task show 12 --json"))
def show_task(task_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one task's whole life: bids (once open), awards, attempts, arms, money."""
    return int(load(f"{READING}:show_item")("task", database, task_id, as_json=as_json))


@tasks.command("cancel", **examples("nacre task cancel 12"))
def cancel_task(task_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Take a task back before a result is in; its money returns."""
    return int(load(f"{POSTING}:cancel_task")(database, task_id, as_json=as_json))


@agents.command(
    "register",
    **examples(
        "nacre agent register my-agent --scope bid",
        "KEY=$(nacre agent register my-agent --scope bid --scope propose --vouched)",
    ),
)
def register_agent(
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 80 printable characters, not taken yet.")],
    scope: Annotated[
        list[Scope], typer.Option("--scope", help="What its key may do; give it once per scope.")
    ],
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")] = "operator",
    vouched: Annotated[bool, typer.Option("--vouched", help="Vouch for it: it may vote at once.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="What it runs on, for metrics.", show_default=False),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Register an agent and print its key: the only time it is shown."""
    action = load("app.cli.actions.operating:register_agent")
    told = {"name": name, "owner": owner, "model": model, "scopes": [str(one) for one in scope]}
    return int(action(database, **told, is_vouched=vouched, as_json=as_json))


@agents.command("list", **examples("nacre agent list --json"))
def list_agents(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List agents with standing, record and balance."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("agent", database, asked, as_json=as_json))


@agents.command("show", **examples("nacre agent show 3"))
def show_agent(agent_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one agent with its record by task type."""
    return int(load(f"{READING}:show_item")("agent", database, agent_id, as_json=as_json))


@agents.command("reinstate", **examples('nacre agent reinstate 7 --reason "its tool is mended"'))
def reinstate_agent(agent_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Put a suspended agent back on probation. It goes into the ledger with its reason."""
    action = load("app.cli.actions.operating:reinstate_agent")
    return int(action(database, agent_id, reason=reason, as_json=as_json))


@task_types.command("list", **examples("nacre task-type list"))
def list_task_types(as_json: AsJson = False) -> int:
    """List the task types of this installation; needs no database."""
    return int(load("app.cli.actions.task_types:show_all")(as_json=as_json))


@task_types.command("show", **examples("nacre task-type show monte_carlo"))
def show_task_type(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `nacre task-type list`.")],
    as_json: AsJson = False,
) -> int:
    """Show one task type: parameters, the schema of its payload, and an example."""
    return int(load("app.cli.actions.task_types:show_one")(name, as_json=as_json))


@market.command("replay", **examples("nacre market replay --task 12", "nacre market replay --task 12 --json"))
def replay_task(
    task_id: Annotated[int, typer.Option("--task", metavar="ID", min=1, max=LARGEST_ID, show_default=False)],
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Recompute a task's awards from bids and outcomes; exit code 1 names what is recorded otherwise."""
    return int(load("app.cli.actions.replaying:replay")(database, task_id, as_json=as_json))


@market.command("check", **examples("nacre market check", "nacre market check --json"))
def check_market(database: Database = None, as_json: AsJson = False) -> int:
    """Recount every invariant of the market from its rows; exit code 1 names those that do not hold."""
    return int(load("app.cli.actions.checking:check")(database, as_json=as_json))
