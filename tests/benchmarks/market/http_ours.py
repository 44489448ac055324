"""Our market over HTTP: whole lives of tasks through the served platform, one act or twenty per request.

Servers run in processes of their own. What they did is counted in their databases, from outside; at the end
the watchdog's full check recounts every invariant of the market there.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from services.domain.clock import WallClock
from services.operations import watchdog
from services.store.tx import Store
from tests.benchmarks.market.lifecycles import Lifecycles
from tests.benchmarks.market.our_server import WINDOW_SECONDS
from tests.benchmarks.market.ours import BrokenInvariantError
from tests.benchmarks.market.scripts import LifeScript
from tests.benchmarks.market.servers import Server


class Recount:
    """Counts in the database of a served platform, from another process."""

    def __init__(self, url: str) -> None:
        self.store = Store(url, WallClock())

    def settled(self) -> int:
        """Return how many tasks were settled."""
        return self._number("SELECT count(*) FROM task WHERE state = 'settled'")

    def paid_twice(self) -> int:
        """Return how many tasks were paid more than once."""
        paid = "SELECT task_id FROM transfer WHERE kind = 'pay' GROUP BY task_id HAVING count(*) > 1"
        return self._number(f"SELECT count(*) FROM ({paid}) paid")

    def _number(self, statement: str) -> int:
        with self.store.read() as tx:
            return int(tx.connection.exec_driver_sql(statement).scalar_one())

    def check(self) -> None:
        """Raise BrokenInvariantError unless every invariant of the market holds."""
        with self.store.read() as tx:
            found = sorted(watchdog.check_all(tx))
        if found:
            raise BrokenInvariantError(f"{len(found)} breaches, the first: {found[0]}")


def our_server(url: str, folder: Path, name: str, *options: str) -> Server:
    """Return the server of a platform over `url`, not started yet."""
    module = "tests.benchmarks.market.our_server"
    command = [sys.executable, "-m", module, "--url", url, "--var", str(folder / name), "--port", "{port}"]
    return Server([*command, *options], {}, folder / f"{name}.log")


def our_lifecycles(server: Server, url: str, script: Callable[[], LifeScript] = LifeScript) -> Lifecycles:
    """Return the case of whole lives, driven by such a script."""
    recount = Recount(url)
    warm_up = WINDOW_SECONDS
    return Lifecycles(server, script, recount.settled, recount.paid_twice, warm_up_seconds=warm_up)
