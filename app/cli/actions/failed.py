"""`nacre failed retry | dismiss`: the operator's acts on what failed.

Stands over `services.operations.failed_work`; every act is one transaction in the operator's name.
"""

from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item
from services.domain.failed_work import FailedKind
from services.meta_task_market.retrying import retry_task
from services.operations import failed_work


def retry(database: str | None, kind: FailedKind, item_id: int, *, as_json: bool) -> int:
    """Retry one failed thing."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = failed_work.retry(tx, kind, item_id, agent_id=None, post_again=retry_task)
    answer = {"kind": str(done.kind), "id": done.id, "task_id": done.task_id}
    return say_item(answer, {}, as_json=as_json)


def dismiss(database: str | None, kind: FailedKind, item_id: int, *, reason: str, as_json: bool) -> int:
    """Take a cause off the list."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = failed_work.dismiss(tx, kind, item_id, agent_id=None, reason=reason)
    answer = {"kind": str(done.kind), "cause": done.cause, "count": done.things}
    return say_item(answer, {}, as_json=as_json)
