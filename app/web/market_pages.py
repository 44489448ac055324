"""Pages of the market: tasks, one task's whole life, agents.

Stand over the read models of layer 4; the pure functions above the pages prepare what the templates show.
They never take part: nothing here bids, awards or pays.
"""

from collections.abc import Iterable, Mapping

from app.web.formats import seconds_of
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.states import TaskKind, TaskState

TASK_STATES = tuple(TaskState)
TASK_KINDS = tuple(TaskKind)
LONGEST_TYPE = 64


# --- what the templates show -------------------------------------------------------------------------------


def life_of(task: Row) -> list[Row]:
    """Return everything that happened to a task (single, in the API's shape) in the order it happened.

    Each moment is `{at, step, ...}`; `step` names the block of the template that tells it.
    """
    moments: list[Row] = [{"at": task["posted_at"], "step": "posted"}]
    if task.get("bids") or task["awarded_at"]:
        moments.append({"at": task["bids_close_at"], "step": "bids", "bids": task.get("bids") or []})
    moments += [{"at": award["awarded_at"], "step": "award", **award} for award in task.get("awards") or []]
    for attempt in task.get("attempts") or []:
        moments.append({"at": attempt["leased_at"], "step": "lease", **attempt})
        if attempt["submitted_at"]:
            moments.append({"at": attempt["submitted_at"], "step": "handoff", **attempt})
        if attempt["ended_at"]:
            moments.append({"at": attempt["ended_at"], "step": "verification", **attempt})
    moments += [
        {"at": late["received_at"], "step": "late", **late} for late in task.get("late_results") or []
    ]
    moments += _settlement(task.get("transfers") or [])
    if task["ended_at"]:
        moments.append({"at": task["ended_at"], "step": "ended"})
    return _told(moments, task["posted_at"])


def _settlement(transfers: Iterable[Row]) -> list[Row]:
    """Return one moment per instant at which money moved."""
    by_instant: dict[str, list[Row]] = {}
    for transfer in transfers:
        by_instant.setdefault(transfer["created_at"], []).append(transfer)
    return [{"at": at, "step": "money", "transfers": moved} for at, moved in by_instant.items()]


def _told(moments: list[Row], posted_at: str) -> list[Row]:
    """Return the moments by time, each with its seconds since the task was posted."""
    order = ("posted", "bids", "award", "lease", "handoff", "verification", "money", "ended", "late")
    ordered = sorted(moments, key=lambda moment: (moment["at"], order.index(moment["step"])))
    start = seconds_of(posted_at)
    return [{**moment, "after_seconds": seconds_of(moment["at"]) - start} for moment in ordered]


def parameter_rows(values: Mapping[str, Row] | None) -> list[Row]:
    """Return the values in force for a task, one row per parameter."""
    return [{"name": name, **value} for name, value in sorted((values or {}).items())]


# --- the pages ---------------------------------------------------------------------------------------------


def market(visit: Visit) -> Shown:
    """Tasks, newest first, by state, type and kind."""
    task_type = (visit.query.get("type") or "")[:LONGEST_TYPE] or None
    asked = {
        "state": visit.chosen("state", TASK_STATES),
        "kind": visit.chosen("kind", TASK_KINDS),
        "type": task_type,
    }
    page = visit.views.list_tasks(visit.tx, **asked, **visit.window())
    pulse = visit.views.pulse(visit.tx)
    types = sorted(
        {parameter.task_type for parameter in visit.registry if parameter.owner != "platform"}
        | set(pulse["recent_success"])
        | {task["type"] for task in rows(page)}
        | ({task_type} if task_type else set())
    )
    return Shown(
        "market.html",
        {
            "tasks": rows(page),
            "next": next_link(visit, page),
            "asked": asked,
            "states": TASK_STATES,
            "kinds": TASK_KINDS,
            "types": types,
            "counts": pulse["tasks"],
            "names": visit.agent_names(),
        },
    )


def task(visit: Visit) -> Shown | None:
    """One task's whole life."""
    number = visit.identity()
    found = visit.views.get_task(visit.tx, number) if number is not None else None
    if found is None:
        return None
    return Shown(
        "task.html",
        {
            "task": found,
            "life": life_of(found),
            "values": parameter_rows(found["parameters"]),
            "names": visit.agent_names(),
        },
    )


def agents(visit: Visit) -> Shown:
    """Agents with standing, money and verified record by task type."""
    page = visit.views.list_agents(visit.tx, **visit.window())
    return Shown("agents.html", {"agents": rows(page), "next": next_link(visit, page)})
