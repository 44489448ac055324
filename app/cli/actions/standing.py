"""`nacre agent recompute | suspend | decide-appeal`: the operator's acts on standing, and the recount.

Stands over `services.operations.standing`. The recount only reads; an act is one transaction in the
operator's name. It never moves a standing by itself.
"""

from collections.abc import Iterator

from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import counted, say_item, say_json, say_line, say_page
from services.domain import states
from services.operations import standing
from services.store import views
from services.store.tx import Tx

COLUMNS = ("agent_id", "what", "stored", "folded")


def recompute(database: str | None, agent_id: int | None, *, as_json: bool) -> int:
    """Compare what is stored of one agent, or of all, with the fold of its outcomes; 1 for a difference."""
    agents = 0
    found: list[dict[str, object]] = []
    with reading(database) as tx:
        for number in _agents(tx) if agent_id is None else (agent_id,):
            agents += 1
            found += [difference._asdict() for difference in standing.recompute(tx, [number])]
    if as_json:
        say_json({"agents": agents, "differences": found})
    elif found:
        say_page({"items": found, "next_cursor": None}, COLUMNS, as_json=False)
    else:
        say_line(f"{counted(agents, 'agent')}: every record and standing is the fold of its outcomes")
    return 1 if found else 0


def _agents(tx: Tx) -> Iterator[int]:
    """Yield every agent's id, oldest first."""
    cursor = None
    while True:
        page = views.list_directory(tx, limit=views.LIMIT_HIGHEST, cursor=cursor, oldest_first=True)
        yield from (item["agent_id"] for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def suspend(database: str | None, agent_id: int, *, reason: str, as_json: bool) -> int:
    """Take an agent's standing away."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        standing.suspend(tx, agent_id, reason=reason)
    answer = {"agent_id": agent_id, "standing": str(states.Standing.SUSPENDED)}
    return say_item(answer, {}, as_json=as_json)


def decide_appeal(database: str | None, item_id: int, *, is_granted: bool, reason: str, as_json: bool) -> int:
    """Grant or deny an appeal."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        agent_id = standing.decide_appeal(tx, item_id, is_granted=is_granted, reason=reason)
    answer = {"agent_id": agent_id, "decision": "granted" if is_granted else "denied"}
    return say_item(answer, {}, as_json=as_json)
