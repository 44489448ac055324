"""The level of the experiment that would start now: what the stream's rule makes of all before it.

Stands under the sandbox, which fixes it at the start, and under admission, which asks whether it can be
reached. It never changes a level that is fixed.
"""

from services.domain.stream import StreamRule, next_level
from services.operations import production_config
from services.store import governance
from services.store.tx import Tx


def level_now(tx: Tx, alpha: float) -> tuple[StreamRule, int, float]:
    """Return rule, position j and level α_j of an experiment that starts now; never above `alpha`."""
    is_dependent = production_config.number(tx, "sandbox.dependence")
    rule = StreamRule.E_LOND if is_dependent else StreamRule.LORD
    started, known = governance.stream_so_far(tx)
    return rule, started + 1, min(alpha, next_level(rule, alpha, started + 1, known))
