"""Pages of the loop itself: the start page, the laps, one lap with all its hops.

Stand over the read models of laps and snapshots; the pure functions above the pages prepare what
the templates show. They never decide anything.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from app.web import charts
from app.web.episodes import episode_words
from app.web.evidence_pages import experiment_context
from app.web.formats import between, rate, seconds_of
from app.web.visits import Row, Shown, Visit, next_link, reference, rows
from app.web.vote_pages import proposal_context
from services.domain.states import ReviewState
from services.store.views import StageName, StageState

REFRESH_SECONDS = 5
LATEST_ENTRIES = 8
SNAPSHOTS_READ = 240
LAPS_SEARCHED = 10
MARGIN_SECONDS = 60.0
NEVER_RUN = tuple(StageName)


# --- what the templates show -------------------------------------------------------------------------------


def drawn_stages(lap: Row | None) -> list[charts.Stage]:
    """Return a lap's stages for the charts; without a lap all seven wait."""
    if not lap or not lap.get("stages"):
        return [charts.Stage(name, StageState.WAITING) for name in NEVER_RUN]
    return [charts.Stage(stage["name"], stage["state"]) for stage in lap["stages"]]


def stage_rows(lap: Row | None) -> list[Row]:
    """Return a lap's stages with where each is shown and how long after the lap's opening it came."""
    if not lap:
        return [
            {"name": name, "state": StageState.WAITING, "at": None, "detail": "", "href": None, "after": ""}
            for name in NEVER_RUN
        ]
    return [
        {
            **stage,
            "href": reference(stage.get("ref")),
            "after": between(lap["opened_at"], stage["at"]) if stage["at"] else "",
        }
        for stage in lap["stages"]
    ]


def lap_ring(lap: Row | None) -> Markup:
    """Return the picture of the loop with the lap's state."""
    if not lap:
        return charts.loop_ring(
            drawn_stages(None), centre=("no lap", "yet"), title="The loop, before its first lap"
        )
    state = lap["outcome"] or "running"
    centre = (f"lap {lap['lap_id']}", state.replace("_", " "))
    return charts.loop_ring(
        drawn_stages(lap), centre=centre, title=f"Lap {lap['lap_id']} of the loop: {state}"
    )


def lap_strip(lap: Row) -> Markup:
    """Return a lap's seven stages as a small strip."""
    return charts.loop_strip(drawn_stages(lap), title=f"Stages of lap {lap['lap_id']}")


def rate_points(snapshots: Iterable[Row]) -> list[charts.RatePoint]:
    """Return snapshots of one key as points, oldest first."""
    found = [
        charts.RatePoint(seconds_of(row["window_end"]), row["numerator"], row["denominator"])
        for row in snapshots
    ]
    return sorted(found)


def success_rows(snapshots: Sequence[Row], recent: Row, line_share: float | None) -> list[Row]:
    """Return one row per task type: its recent rate and its success over time.

    `recent` maps a type to `{numerator, denominator}`; `snapshots` are those of dimension task_type.
    """
    success = []
    for key in sorted({*recent, *(row["key"] for row in snapshots)}):
        points = rate_points(row for row in snapshots if row["key"] == key)
        figure = recent.get(key) or {"numerator": 0, "denominator": 0}
        share = rate(figure["numerator"], figure["denominator"])
        success.append(
            {
                "type": key,
                **figure,
                "share": share,
                "is_low": share is not None and line_share is not None and share < line_share,
                "chart": charts.sparkline(points, line_share=line_share, title=f"Success of {key} over time"),
            }
        )
    return success


def total_share(recent: Row) -> tuple[float | None, int, int]:
    """Return the success of all types together: share, successes, tasks."""
    won = sum(figure["numerator"] for figure in recent.values())
    ended = sum(figure["denominator"] for figure in recent.values())
    return rate(won, ended), won, ended


def recovery_chart(lap: Row, snapshots: Sequence[Row], line_share: float | None) -> Markup | None:
    """Return success around the lap with its turning points marked, or None without snapshots of that time.

    Shown is the lap and as long again before and after it, at least a minute each.
    """
    opened, closed = seconds_of(lap["opened_at"]), lap["closed_at"]
    points = rate_points(snapshots)
    latest = seconds_of(closed) if closed else (points[-1].at_seconds if points else opened)
    margin = max(MARGIN_SECONDS, latest - opened)
    near = [point for point in points if opened - margin <= point.at_seconds <= latest + margin]
    if not near:
        return None
    title = f"Success of {snapshots[0]['key']} around lap {lap['lap_id']}"
    return charts.rate_history(near, line_share=line_share, marks=turning_points(lap), title=title)


def turning_points(lap: Row) -> list[tuple[float, str]]:
    """Return when the lap turned, in seconds, with names: anomaly, experiment, promotion."""
    experiment = lap["experiment"] or {}
    promoted = [
        stage["at"]
        for stage in lap["stages"]
        if stage["name"] == StageName.PROMOTE and stage["state"] == StageState.DONE
    ]
    named = (
        (lap["opened_at"], "anomaly"),
        (experiment.get("started_at"), "experiment"),
        (promoted[0] if promoted else None, "promoted"),
    )
    return [(seconds_of(at), name) for at, name in named if at]


def running_lap(laps: Sequence[Row]) -> Row | None:
    """Return the lap to show first: the newest one still open, else the newest."""
    return next((lap for lap in laps if lap["closed_at"] is None), laps[0] if laps else None)


# --- the pages ---------------------------------------------------------------------------------------------


def success_line(visit: Visit) -> float | None:
    """Return the fixed success line in force as a share, or None where no such parameter is registered."""
    found = visit.views.get_parameter(visit.tx, visit.registry, "observatory.success_line_percent")
    return float(found["value"]) / 100 if found else None


def loop(visit: Visit) -> Shown:
    """The start page: the loop, the current lap, key figures, success by type, latest ledger entries."""
    laps = rows(visit.views.list_laps(visit.tx, limit=LAPS_SEARCHED))
    lap = running_lap(laps)
    pulse, line = visit.views.pulse(visit.tx), success_line(visit)
    recent = pulse["recent_success"]
    snapshots = rows(visit.views.list_snapshots(visit.tx, dimension="task_type", limit=SNAPSHOTS_READ))
    is_running = lap is not None and lap["closed_at"] is None
    share, won, ended = total_share(recent)
    pending = visit.views.list_reviews(visit.tx, state=ReviewState.PENDING)
    return Shown(
        "loop.html",
        {
            "pending": len(rows(pending)),
            "lap": lap,
            "ring": lap_ring(lap),
            "stages": stage_rows(lap),
            "pulse": pulse,
            "line": line,
            "health": visit.workings.score(visit.tx),
            "ledger_fault": visit.workings.ledger_fault(visit.tx),
            "share": share,
            "won": won,
            "ended": ended,
            "success": success_rows(snapshots, recent, line),
            "entries": rows(visit.views.list_entries(visit.tx, limit=LATEST_ENTRIES)),
            "is_running": is_running,
            "refresh_seconds": REFRESH_SECONDS if is_running and "still" not in visit.query else None,
        },
    )


def laps(visit: Visit) -> Shown:
    """Every turn of the loop, newest first."""
    page = visit.views.list_laps(visit.tx, **visit.window())
    drawn = [{**lap, "strip": lap_strip(lap)} for lap in rows(page)]
    return Shown("laps.html", {"laps": drawn, "next": next_link(visit, page)})


def lap(visit: Visit) -> Shown | None:
    """One turn of the loop with all its hops joined."""
    number = visit.identity()
    found = visit.views.get_lap(visit.tx, number) if number is not None else None
    if found is None:
        return None
    proposal, experiment, names = found.get("proposal"), found.get("experiment"), visit.agent_names()
    proposal = visit.views.get_proposal(visit.tx, proposal["proposal_id"]) if proposal else None
    experiment = visit.views.get_experiment(visit.tx, experiment["experiment_id"]) if experiment else None
    watched = experiment["task_type"] if experiment else (found.get("episode") or {}).get("key")
    snapshots = (
        rows(visit.views.list_snapshots(visit.tx, dimension="task_type", key=watched, limit=SNAPSHOTS_READ))
        if watched
        else []
    )
    return Shown(
        "lap.html",
        {
            "lap": found,
            "ring": lap_ring(found),
            "stages": stage_rows(found),
            "episode": found.get("episode"),
            "seen": episode_words(found["episode"]) if found.get("episode") else None,
            "meta": found["meta_task"],
            "given": (found["meta_task"] or {}).get("payload") or {},
            "voting": proposal_context(proposal, names) if proposal else None,
            "trial": experiment_context(experiment) if experiment else None,
            "recovery": recovery_chart(found, snapshots, success_line(visit)),
            "entries": found.get("entries") or [],
            "setting": found.get("parameter"),
            "names": names,
        },
    )
