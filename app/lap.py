"""One lap, live: starts the platform, its fleet and a slow source of documents, and watches the loop close.

Stands behind `nacre lap` and `make run`. What it shows is read from the database; it drives nothing: the
snapshots, agents, votes and verdicts run by themselves. It never knows which value should win.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.agents.fleet import demonstration_fleet
from app.lap_result import LapResult
from app.lap_screen import LapScreen, probation_text
from app.main import Serving, StartError, free_port, serving
from app.settings import Profile, Settings
from app.terminal_text import plain
from services import evolution_ledger
from services.domain.clock import to_datetime
from services.operations import production_config
from services.store import views

LOOK_SECONDS = 0.5
LIMIT_SECONDS = 115.0
PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class LapRequest:
    """How to run a lap. Without a database in the settings' environment a fresh one is made for it."""

    source: str = "heavy"
    rate_per_second: float = 6.0
    seed: int = 7
    limit_seconds: float = LIMIT_SECONDS
    is_fresh: bool = True


def run_lap(
    settings: Settings, *, keep_serving: bool, as_json: bool, request: LapRequest | None = None
) -> int:
    """Run one lap and show it; return 0 when it closed with a promotion, else 1."""
    wanted = request or LapRequest()
    screen = LapScreen(as_json=as_json)
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        with document_source(wanted) as source_url:
            chosen = lap_settings(settings, wanted, source_url)
            fleet = demonstration_fleet(source_url, rate_per_second=wanted.rate_per_second, seed=wanted.seed)
            with serving(chosen, fleet=fleet) as running:
                screen.open(running.url, chosen.shown_database_url)
                with screen:
                    result = watch(running, screen, wanted.limit_seconds)
                screen.close(result)
                if keep_serving and screen.is_terminal:
                    screen.stay(running.url)
                    _until_interrupted()
    except StartError as error:
        sys.stderr.write(f"nacre: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("nacre: stopped before the lap had closed\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps(result.to_payload(), ensure_ascii=False, indent=2) + "\n")
    return 0 if result.is_closed else 1


def lap_settings(settings: Settings, request: LapRequest, source_url: str) -> Settings:
    """Return the settings of a lap: the demonstration's profile, a fresh database, a free port."""
    database_url = settings.database_url
    if request.is_fresh:
        name = f"lap-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.db"
        database_url = f"sqlite:///{settings.var_directory / 'laps' / name}"
    return replace(
        settings,
        database_url=database_url,
        port=free_port(settings.host, settings.port),
        profile=Profile.DEMONSTRATION,
        document_origins=(*settings.document_origins, source_url),
    )


@contextmanager
def document_source(request: LapRequest) -> Iterator[str]:
    """Run the slow source of documents as a process of its own; yield its origin.

    Raises StartError when it does not say where it listens.
    """
    command = [sys.executable, "-m", "app.demonstration.document_source", "--latency", request.source]
    command += ["--seed", str(request.seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
            line = process.stdout.readline()
            if not line:
                msg = "the document source ended before it listened"
                raise StartError(msg)
            yield f"http://127.0.0.1:{json.loads(line)['port']}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()


def watch(running: Serving, screen: LapScreen, limit_seconds: float) -> LapResult:
    """Show the loop until a lap has closed or the limit has passed."""
    store = running.platform.store
    started = time.monotonic()
    while True:
        with store.read() as tx:
            laps = views.list_laps(tx, limit=5)["items"]
            record = chosen_lap(laps)
            pulse = views.pulse(tx)
            summary = record["experiment"] if record else None
            experiment = views.get_experiment(tx, summary["experiment_id"]) if summary else None
        passed = time.monotonic() - started
        screen.show(record, pulse, experiment, passed)
        if record is not None and record["closed_at"] and record["outcome"] == PROMOTED:
            return _promoted(running, record, passed)
        if passed > limit_seconds or _is_lost(laps, record):
            with store.read() as tx:
                fault = evolution_ledger.fault_told(tx)
            why = fault or why_not_closed(record, limit_seconds, _finding(running, record))
            return LapResult(record, is_closed=False, reason=why, read_back=None, seconds=passed)
        time.sleep(LOOK_SECONDS)


def chosen_lap(laps: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the lap to show: one that promoted, else the open one that got furthest, else the newest."""
    if not laps:
        return None
    promoted = [lap for lap in laps if lap["outcome"] == PROMOTED]
    still_open = sorted((lap for lap in laps if not lap["closed_at"]), key=_stages_done)
    return (promoted or still_open or laps)[-1 if still_open and not promoted else 0]


def _stages_done(lap: dict[str, Any]) -> int:
    return sum(stage["state"] == "done" for stage in lap["stages"])


def _is_lost(laps: list[dict[str, Any]], record: dict[str, Any] | None) -> bool:
    """Tell whether a lap has ended in a refusal and none is open."""
    ended = {"refused", "rejected", "inquorate", "withdrawn", "expired"}
    return record is not None and record["outcome"] in ended and all(lap["closed_at"] for lap in laps)


def _finding(running: Serving, record: dict[str, Any] | None) -> str:
    """Return what the investigation of the lap found, in the agent's words, or nothing."""
    meta_task = record["meta_task"] if record else None
    if meta_task is None:
        return ""
    with running.platform.store.read() as tx:
        task = views.get_task(tx, meta_task["task_id"])
    handoffs = [
        attempt["handoff"] for attempt in (task or {"attempts": []})["attempts"] if attempt["handoff"]
    ]
    return plain(str(handoffs[-1]["changed"].get("finding", ""))) if handoffs else ""


def why_not_closed(record: dict[str, Any] | None, limit_seconds: float, finding: str = "") -> str:
    """Say at which stage the loop stands and what it waits for; `finding` is the investigation's word."""
    if record is None:
        return f"observe: no anomaly was seen within {limit_seconds:g} s; nothing needed changing"
    stage = next((item for item in record["stages"] if item["name"] == record["stage"]), None)
    detail = stage["detail"] if stage else ""
    outcome = f" (the lap ended: {record['outcome']})" if record["outcome"] else ""
    said = f"; the investigation says: {finding}" if finding else ""
    return f"{record['stage']}: {detail}{outcome}{said}"


def _promoted(running: Serving, record: dict[str, Any], passed: float) -> LapResult:
    """Read the changed setting back in a transaction of its own."""
    name = record["parameter"]["name"]
    with running.platform.store.read() as tx:
        value = production_config.effective(tx, name)
    read_back = {
        "parameter": name,
        "before": record["parameter"]["before"],
        "after": record["parameter"]["after"],
        "value": value.value,
        "source": str(value.source),
        "version": value.version,
        "read_at": to_datetime(running.platform.store.clock.now_us()).isoformat(),
    }
    is_right = value.value == record["parameter"]["after"]
    reason = "promoted and read back" if is_right else f"promote: {name} reads {value.value}"
    return LapResult(
        record,
        is_closed=is_right,
        reason=reason,
        read_back=read_back,
        seconds=passed,
        probation=probation_text(record),
    )


def _interrupted(*_arguments: object) -> None:
    """End like Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
