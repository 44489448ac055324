"""Commands about the market: `task`, `task-type`, `agent`.

Stands beside the other declarations; the acts are in `app.cli.acts.market`.
"""

from typing import Annotated

import typer

from app.cli.dispatch import perform
from app.cli.options import (
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Identity,
    Limit,
    Oldest,
    Reason,
    examples,
)
from services.domain.states import Scope, TaskKind, TaskState

tasks = typer.Typer(help="Post work and follow it.", no_args_is_help=True)
task_types = typer.Typer(help="What kinds of work there are.", no_args_is_help=True)
agents = typer.Typer(help="Who takes part.", no_args_is_help=True)
GROUPS = {"task": tasks, "task-type": task_types, "agent": agents}

Payload = Annotated[
    str | None,
    typer.Argument(metavar="PAYLOAD", help="JSON, @FILE, or - for standard input.", show_default=False),
]


@tasks.command(
    "post",
    epilog=examples(
        """nacre task post monte_carlo '{"model": {"name": "pi_integral"}, "samples": 200000, "seed": 7}'""",
        "nacre task post ml_training --payload @payload.json --reserve-price 500000 --deadline 600",
    ),
)
def post(
    task_type: Annotated[str, typer.Argument(metavar="TYPE", help="See `nacre task-type list`.")],
    payload: Payload = None,
    payload_option: Annotated[
        str | None, typer.Option("--payload", metavar="PAYLOAD", help="The same, as an option.")
    ] = None,
    reserve_price: Annotated[
        int | None,
        typer.Option("--reserve-price", metavar="MICROCREDITS", help="Most it may cost (else the type's)."),
    ] = None,
    deadline: Annotated[
        int | None, typer.Option("--deadline", metavar="SECONDS", help="When it ends at the latest.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Post a task in the name of the agent 'operator', which is made when it is missing."""
    perform(
        "market:post_task",
        task_type=task_type,
        payload=payload,
        payload_option=payload_option,
        reserve_price=reserve_price,
        deadline=deadline,
        database=database,
        as_json=as_json,
    )


@tasks.command(
    "list", epilog=examples("nacre task list", "nacre task list --state failed --limit 200 --json")
)
def list_tasks(
    type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this type.")] = None,  # noqa: A002
    state: Annotated[TaskState | None, typer.Option("--state", help="Only in this state.")] = None,
    kind: Annotated[TaskKind | None, typer.Option("--kind", help="Users' tasks or investigations.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    perform(
        "market:list_tasks",
        filters={"type": type, "state": state, "kind": kind},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@tasks.command("show", epilog=examples("nacre task show 41", "nacre task show 41 --json"))
def show_task(task_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Show a task's whole life: bids (once open), awards, attempts, arms, money."""
    perform("market:show_task", task_id=task_id, database=database, as_json=as_json)


@tasks.command("cancel", epilog=examples("nacre task cancel 41 --reason 'posted twice'"))
def cancel(task_id: Identity, reason: Reason, database: Database = None, as_json: AsJson = False) -> None:
    """Take a task back before a result is in; its escrow returns. The reason is asked for, but not kept."""
    perform("market:cancel_task", task_id=task_id, reason=reason, database=database, as_json=as_json)


@task_types.command("list", epilog=examples("nacre task-type list", "nacre task-type list --json"))
def list_task_types(as_json: AsJson = False) -> None:
    """List the task types of this installation, each with an example of its payload."""
    perform("market:list_task_types", as_json=as_json)


@agents.command(
    "register",
    epilog=examples(
        "nacre agent register my-agent --scope bid",
        "nacre agent register my-voter --scope vote --scope propose --owner acme --vouched",
    ),
)
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One line, not taken yet.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What its key may do; repeat it for more.")
    ] = None,
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Whose agent it is.")] = "operator",
    vouched: Annotated[
        bool, typer.Option("--vouched", help="Vouch for it: it may vote at once and gets a larger grant.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Register an agent and print its key, once: only its hash is kept."""
    perform(
        "market:register_agent",
        name=name,
        scopes=scope or [],
        owner=owner,
        is_vouched=vouched,
        database=database,
        as_json=as_json,
    )


@agents.command("list", epilog=examples("nacre agent list", "nacre agent list --json"))
def list_agents(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List agents with their standing, record and balance."""
    perform(
        "market:list_agents", limit=limit, cursor=cursor, oldest=oldest, database=database, as_json=as_json
    )


@agents.command("show", epilog=examples("nacre agent show 3", "nacre agent show 3 --json"))
def show_agent(agent_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Show one agent."""
    perform("market:show_agent", agent_id=agent_id, database=database, as_json=as_json)
