"""How a lap looks in a terminal: seven stages filling in, success by arm, a progress bar for the experiment.

Stands at the edge, fed by `app.lap` with read models. Off a terminal it prints one plain line per change.
Text from agents is shown as text, never as markup. It never reads the database.
"""

import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.lap_result import LapResult

MARKS = {"done": ("●", "green"), "running": ("◐", "cyan"), "waiting": ("○", "dim"), "failed": ("✕", "red")}
AFTER_TRIAL = {
    "provisional": "Promoted; its probation is about to begin",
    "probation": "In probation",
    "confirmed": "Confirmed",
    "rolled_back": "Rolled back",
}
STAGES = ("observe", "diagnose", "propose", "vote", "experiment", "learn", "promote")


class LapScreen:
    """The live view of a lap."""

    def __init__(self, *, as_json: bool) -> None:
        self.console = Console(stderr=as_json, highlight=False)
        self.is_terminal = sys.stdout.isatty() and not as_json
        self._live: Live | None = None
        self._told: dict[str, str] = {}
        self._is_quiet = as_json

    def open(self, url: str, database_url: str) -> None:
        """Say where things are."""
        self._print(f"Nacre runs a lap. Pages {url} · API {url}/docs · database {database_url}")

    def __enter__(self) -> Self:
        """Start the live view on a terminal."""
        if self.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=False)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def show(
        self,
        lap: dict[str, Any] | None,
        pulse: dict[str, Any],
        experiment: dict[str, Any] | None,
        passed: float,
    ) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(Group(stage_table(lap), Text(), *figures(pulse, experiment, passed)))
        else:
            self._tell(lap, experiment, passed)

    def close(self, result: LapResult) -> None:
        """Print the ledger entries of the lap and the setting read back, or why the lap did not close."""
        if self._is_quiet:
            return
        if result.record is not None and result.is_closed:
            self.console.print(ledger_table(result.record))
        if result.read_back is not None:
            back = result.read_back
            self._print(
                f"{back['parameter']}: {back['before']} → {back['after']}; read back {back['value']} "
                f"(source {back['source']}, version {back['version']})"
            )
        if result.probation is not None:
            self._print(result.probation)
        verb = "The lap closed" if result.is_closed else "The lap did not close"
        self._print(f"{verb} after {result.seconds:.0f} s: {result.reason}")

    def stay(self, url: str) -> None:
        """Say that the platform goes on."""
        self._print(f"Still serving {url} (pages) and {url}/docs (API) until Ctrl-C.")

    def _print(self, line: str) -> None:
        if not self._is_quiet:
            self.console.print(Text(line), soft_wrap=True)

    def _tell(self, lap: dict[str, Any] | None, experiment: dict[str, Any] | None, passed: float) -> None:
        """Print a line for every stage that changed since the last look."""
        for stage in lap["stages"] if lap else ():
            said = f"{stage['state']}: {stage['detail']}"
            if stage["state"] != "waiting" and stage["state"] != self._told.get(stage["name"]):
                self._told[stage["name"]] = stage["state"]
                self._print(f"{passed:6.1f} s  {stage['name']:<10} {said}")
        if experiment is not None and experiment["assigned_count"] // 25 > int(self._told.get("tasks", "0")):
            self._told["tasks"] = str(experiment["assigned_count"] // 25)
            self._print(f"{passed:6.1f} s  {'':<10} {arms_text(experiment)}")


def stage_table(lap: dict[str, Any] | None) -> Table:
    """Return the seven stages as a table."""
    table = Table(box=None, pad_edge=False, show_header=False, expand=True)
    table.add_column(width=2)
    table.add_column(width=11)
    table.add_column(width=9)
    table.add_column(overflow="fold", ratio=1)
    stages: list[dict[str, Any]] = (
        lap["stages"]
        if lap
        else [{"name": name, "state": "waiting", "at": None, "detail": ""} for name in STAGES]
    )
    for stage in stages:
        mark, style = MARKS.get(stage["state"], ("?", "yellow"))
        at = (stage["at"] or "")[11:19]
        table.add_row(
            Text(mark, style), Text(stage["name"], "bold"), Text(at, "dim"), Text(stage["detail"] or "")
        )
    return table


def figures(pulse: dict[str, Any], experiment: dict[str, Any] | None, passed: float) -> list[Any]:
    """Return throughput, success by task type, and the experiment's progress."""
    ended = sum(pulse["tasks"].get(state, 0) for state in ("settled", "failed"))
    line = Text(f"{passed:5.0f} s   {ended} tasks ended, {ended / max(passed, 1e-9):.1f}/s   success ")
    for name, counts in sorted(pulse["recent_success"].items()):
        share = counts["numerator"] / counts["denominator"] if counts["denominator"] else 0.0
        line.append(f" {name} {share:.0%}", "green" if share >= 0.7 else "red")  # noqa: PLR2004 (the shipped line)
    shown: list[Any] = [line]
    if experiment is not None:
        shown.append(Text(arms_text(experiment)))
        leg = leg_now(experiment)
        goal, reached = leg["threshold_log_e"], max(0.0, leg["log_e"])
        shown.append(ProgressBar(total=goal, completed=min(goal, reached), width=60))
    return shown


def leg_now(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return the leg that counts now: the probation once there is one."""
    leg: dict[str, Any] = experiment["probation"] or experiment["trial"]
    return leg


def arms_text(experiment: dict[str, Any]) -> str:
    """Return both arms' success in the leg that counts now, and its evidence, in one line."""
    leg, arms = leg_now(experiment), []
    for name in ("control", "treatment"):
        arm = leg[name]
        rate = "–" if arm["rate"] is None else f"{arm['rate']:.0%}"
        arms.append(f"{name} {experiment[name + '_value']}: {rate} of {arm['resolved']}")
    does = "promotes" if leg["leg"] == "trial" else "confirms"
    evidence = f"evidence E = {leg['e_value']:.2f} ({leg['threshold']:.3g} {does})"
    return f"{leg['leg']}: {'   '.join(arms)}   {evidence}"


def probation_text(lap: dict[str, Any] | None) -> str | None:
    """Return how the promotion of a lap stands after its trial, in one line; None without one."""
    experiment = lap["experiment"] if lap else None
    if experiment is None or experiment["state"] not in AFTER_TRIAL:
        return None
    said, leg = AFTER_TRIAL[experiment["state"]], experiment["probation"]
    if leg is None:
        return said
    said += f": E = {leg['e_value']:.3g} of {leg['threshold']:.3g} after {leg['units']} tasks"
    if experiment["state"] != "probation":
        return said
    share = round(100 * (1 - experiment["treatment_share"]))
    return f"{said}, {share} % of tasks on the old value, deadline {leg['closes_at'][:16]}Z"


def ledger_table(lap: dict[str, Any]) -> Table:
    """Return the lap's ledger entries as a table."""
    table = Table(
        title=f"Ledger entries of lap {lap['lap_id']}", title_justify="left", box=None, pad_edge=False
    )
    for name in ("index", "type", "actor", "at"):
        table.add_column(name, style="dim" if name in {"index", "at"} else "")
    for entry in lap["entries"]:
        table.add_row(str(entry["index"]), entry["type"], Text(entry["actor"]), entry["at"][11:23])
    return table
