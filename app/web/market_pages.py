"""Pages of the market: what waits and what an hour ended, tasks, and one task's whole life.

Stand over the read models of layer 4; the pure functions above the pages prepare what the templates show.
They never take part: nothing here bids, awards or pays.
"""

from collections.abc import Iterable, Mapping

from markupsafe import Markup

from app.web import charts
from app.web.formats import seconds_of
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.lost_bids import EXCLUDED
from services.domain.states import AttemptState, TaskKind, TaskState

TASK_STATES = tuple(TaskState)
TASK_KINDS = tuple(TaskKind)
LONGEST_TYPE = 64
ENDS = ("unclaimed", "lapse", "verification", "money")


# --- what the templates show -------------------------------------------------------------------------------


def life_of(task: Row) -> list[Row]:
    """Return everything that happened to a task (single, in the API's shape) in the order it happened.

    Each moment is `{at, step, ...}`; `step` names the block of the template that tells it.
    """
    moments: list[Row] = [{"at": task["posted_at"], "step": "posted"}]
    awards = task.get("awards") or []
    if task.get("bids") or task["awarded_at"]:
        closed_at = min([task["bids_close_at"], *(award["awarded_at"] for award in awards[:1])])
        moments.append({"at": closed_at, "step": "bids", "bids": task.get("bids") or []})
    moments += [
        {"at": award["awarded_at"], "step": "award", "scores": score_rows(award), **award} for award in awards
    ]
    awarded_at = {award["attempt_number"]: award["awarded_at"] for award in awards}
    for attempt in task.get("attempts") or []:
        if is_unclaimed(attempt, awarded_at.get(attempt["number"])):
            moments.append({"at": attempt["ended_at"], "step": "unclaimed", **attempt})
            continue
        moments.append({"at": attempt["leased_at"], "step": "lease", **attempt})
        if attempt["submitted_at"]:
            moments.append({"at": attempt["submitted_at"], "step": "handoff", **attempt})
        if attempt["ended_at"]:
            step = "lapse" if attempt["state"] == AttemptState.LAPSED else "verification"
            moments.append({"at": attempt["ended_at"], "step": step, **attempt})
    moments += [
        {"at": late["received_at"], "step": "late", **late} for late in task.get("late_results") or []
    ]
    moments += _settlement(task.get("transfers") or [])
    if task["ended_at"]:
        moments.append({"at": task["ended_at"], "step": "ended"})
    return _told(moments, task["posted_at"])


def is_unclaimed(attempt: Row, awarded_at: str | None) -> bool:
    """Tell whether an attempt is that of an award which nobody took up: it is dated from its award."""
    return bool(attempt["state"] == AttemptState.LAPSED and attempt["leased_at"] == awarded_at)


def score_rows(award: Row) -> list[Row]:
    """Return the bids that an award judged, the winner's and then the best first, then those it left out."""
    inputs = award.get("inputs") or {}
    judged = [
        {
            "agent_id": bid.get("agent_id"),
            "ask": bid.get("ask_microcredits"),
            "successes": bid.get("type_successes"),
            "failures": bid.get("type_failures"),
            "jobs": bid.get("jobs"),
            "theta": bid.get("theta"),
            "score": bid.get("score"),
            "left_out": None,
            "is_winner": bid.get("agent_id") == award["agent_id"],
        }
        for bid in inputs.get("bids") or []
    ]
    judged.sort(key=lambda bid: (not bid["is_winner"], -(bid["score"] or 0.0)))
    nothing = dict.fromkeys(("ask", "successes", "failures", "jobs", "theta", "score"))
    left_out = [
        {
            **nothing,
            "agent_id": one.get("agent_id"),
            "left_out": EXCLUDED.get(one.get("reason"), one.get("reason")),
            "is_winner": False,
        }
        for one in inputs.get("excluded") or []
    ]
    return [*judged, *left_out]


def replays_of(visit: Visit, task: Row) -> dict[int, Row] | None:
    """Return each award recomputed from the records, by attempt; None unless asked for, or while sealed."""
    if visit.query.get("replay") != "1" or not can_replay(task):
        return None
    found = visit.views.replay_task(visit.tx, task["task_id"])
    return {award["attempt_number"]: award for award in found["awards"]} if found else None


def can_replay(task: Row) -> bool:
    """Tell whether the task has awards whose bids are open."""
    return bool(task["awards"]) and task["state"] != TaskState.BIDDING


def endings_chart(hour: Iterable[Row]) -> Markup:
    """Return the last hour's endings drawn in windows of five minutes."""
    windows = [charts.Ended(one["from"][11:16], one["settled"], one["ended"]) for one in hour]
    return charts.endings_bars(windows, title="Tasks that ended in the last hour")


def _settlement(transfers: Iterable[Row]) -> list[Row]:
    """Return one moment per instant at which money moved."""
    by_instant: dict[str, list[Row]] = {}
    for transfer in transfers:
        by_instant.setdefault(transfer["created_at"], []).append(transfer)
    return [{"at": at, "step": "money", "transfers": moved} for at, moved in by_instant.items()]


def _told(moments: list[Row], posted_at: str) -> list[Row]:
    """Return the moments by time, each with its seconds since the task was posted."""
    order = ("posted", "bids", "award", "lease", "handoff", *ENDS, "ended", "late")
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
    now = visit.views.market_now(visit.tx)
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
            "now": now,
            "endings": endings_chart(now["hour"]),
            "settled_in_hour": sum(one["settled"] for one in now["hour"]),
            "ended_in_hour": sum(one["ended"] for one in now["hour"]),
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
            "replays": replays_of(visit, found),
            "can_replay": can_replay(found),
            "names": visit.agent_names(),
        },
    )
