"""The platform as it is served, for the benches over HTTP: one process, the real routes, writer, bus, jobs.

    python -m tests.benchmarks.market.our_server --url sqlite:///market.db --var market --port 8000

Agents with known keys are registered, tasks are awarded ten times a second, and there is one task type of
which every result is good, so that what is measured is the market and not a verifier. `--normal` gives SQLite
synchronous=NORMAL instead of FULL, to see what durability costs.
"""

import argparse
import random
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType

import uvicorn
from pydantic import BaseModel
from sqlalchemy import event

from app.bootstrap import Platform, Runtime, open_platform
from app.main import build_app
from app.settings import Settings
from app.tasks.task_type import ParameterRisk, ParameterSpec, PreparedTask, TaskType, timeout_parameter
from services.domain.states import Scope
from services.operations import agent_registry
from services.store import sql, tables

AGENTS = 50
TASK_TYPE = "bench"
WINDOW_SECONDS = 1.0
RESERVE = 1_000
INTERVALS_SECONDS = {"auto_accept_bids": 0.1, "lease_expiry": 1.0}
STARTING_VALUES = {"market.open_bids_per_agent": "100000"}


class Payload(BaseModel):
    """Anything goes."""

    number: int = 0


BENCH = TaskType(
    name=TASK_TYPE,
    summary="A task whose result is always good.",
    payload_model=Payload,
    prepare=lambda payload: PreparedTask(Payload.model_validate(payload).model_dump(), {}),
    tool="tests.benchmarks.market.our_server:main",
    verifier="tests.benchmarks.market.our_server:agree",
    parameters=(
        timeout_parameter(60.0),
        ParameterSpec(
            suffix="reserve_price_microcredits",
            default=RESERVE,
            low=1,
            high=1_000_000,
            step_max=2.0,
            unit="microcredits",
            risk=ParameterRisk.OPEN,
            summary="What is paid at most for one task.",
        ),
    ),
    example={"number": 1},
)


def agree(*_given: object) -> tuple[bool, dict[str, object]]:
    """Find every result good."""
    return True, {"reason": "good"}


def key_of(number: int) -> str:
    """Return the API key of one of the agents, 1 to AGENTS."""
    return f"nac_bench_{number}"


def register(platform: Platform) -> None:
    """Register the agents, unless they are there already."""
    with platform.store.write(actor="operator") as tx:
        known = {row["name"] for row in sql.find_all(tx, tables.agent)}
        for number in range(1, AGENTS + 1):
            if f"bench_{number}" not in known:
                agent_registry.register(
                    tx,
                    name=f"bench_{number}",
                    owner=f"owner_{number}",
                    scopes=list(Scope),
                    is_vouched=True,
                    key_hash=agent_registry.key_hash(key_of(number)),
                )


def less_durable(platform: Platform) -> None:
    """Let SQLite answer a commit before it is on the disk."""

    def listen(connection, _entry):
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(platform.store.engine, "connect", listen)
    platform.store.engine.dispose()


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--var", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--normal", action="store_true")
    parser.add_argument("--window", type=float, default=WINDOW_SECONDS)
    options = parser.parse_args()
    settings = Settings(
        options.url, port=options.port, var_directory=options.var, operator_key="nop_bench_operator"
    )
    platform = open_platform(
        settings,
        entropy=random.Random(7).randbytes,
        task_types={TASK_TYPE: BENCH},
        verify=agree,
        starting_values={"market.bid_window_seconds": str(options.window), **STARTING_VALUES},
    )
    if options.normal:
        less_durable(platform)
    platform.jobs = tuple(
        replace(job, every_seconds=INTERVALS_SECONDS.get(job.name, job.every_seconds))
        for job in platform.jobs
    )
    register(platform)
    serve(platform)
    return 0


def serve(platform: Platform) -> None:
    """Run server and background work until a signal comes."""
    runtime = Runtime(platform)
    config = uvicorn.Config(
        build_app(platform),
        host=platform.settings.host,
        port=platform.settings.port,
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, daemon=True)
    over = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        over.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    thread.start()
    runtime.start()
    over.wait()
    runtime.stop()
    server.should_exit = True
    thread.join(timeout=10)
    platform.close()


if __name__ == "__main__":
    sys.exit(main())
