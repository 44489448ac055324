"""The page of anomalies: every episode with its figures, its times and where its failures are.

Stands over the read models of episodes and of the meta-tasks that hold their evidence. It never opens,
closes or accepts one.
"""

from app.web.episodes import episode_row
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.states import EpisodeState

EPISODE_STATES = tuple(EpisodeState)
EPISODES_SHOWN = 20


def investigation_of(visit: Visit, episode: Row) -> Row | None:
    """Return what was asked of an episode's investigators, or None before its meta-task is posted."""
    number = episode["meta_task_id"]
    task = visit.views.get_task(visit.tx, number) if number is not None else None
    return task["payload"] if task else None


def anomalies(visit: Visit) -> Shown:
    """Every episode the observatory opened, newest first; the first page begins with what is open."""
    state = visit.chosen("state", EPISODE_STATES)
    asked = {**visit.window(), "limit": EPISODES_SHOWN}
    page = visit.views.list_episodes(visit.tx, state=state, **asked)
    episodes = rows(page)
    if state is None and not asked["cursor"]:
        open_now = rows(visit.views.list_episodes(visit.tx, state=EpisodeState.OPEN, limit=EPISODES_SHOWN))
        known = {episode["episode_id"] for episode in open_now}
        episodes = open_now + [one for one in episodes if one["episode_id"] not in known]
    shown = [episode_row(episode, investigation_of(visit, episode)) for episode in episodes]
    return Shown(
        "anomalies.html",
        {
            "episodes": shown,
            "open_count": sum(episode["state"] == EpisodeState.OPEN for episode in episodes),
            "next": next_link(visit, page),
            "state": state,
            "states": EPISODE_STATES,
            "is_first": not asked["cursor"],
        },
    )
