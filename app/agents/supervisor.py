"""Starts the fleet's agents as subprocesses, watches them, restarts what crashes, gives up what keeps
crashing.

No thread of its own: the owner calls `poll` about every 0.2 s, from a thread that does not serve the API
(the supervisor speaks to it over HTTP), and `stop` at the end. An agent that crashed 12 times in a row is
stopped, its context logged and queued for a person. It never does an agent's work and never passes on its
own operator key.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from app.agents.agent_process import (
    LINES_KEPT,
    AgentProcess,
    agent_environment,
    module_command,
)
from app.agents.client import ApiProblem, NacreClient, UnreachableError
from app.agents.fleet import AgentSpec
from app.agents.keyring import Credentials, Keyring
from app.agents.restart import Action, RestartPolicy, Run, crashes_in_a_row, next_action

logger = logging.getLogger(__name__)

STOP_SECONDS = 2.0
REPORT_AGAIN_SECONDS = 5.0
NAMES_TRIED = 100
RUNS_KEPT = 40
Command: TypeAlias = Callable[[AgentSpec], Sequence[str]]


@dataclass(slots=True)
class Ward:
    """One supervised agent: its runs, its last words, and the process, if it lives."""

    spec: AgentSpec
    credentials: Credentials
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    history: list[Run] = field(default_factory=list)
    process: AgentProcess | None = None
    starts: int = 0
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class WardStatus:
    """What an owner may show of an agent: is it alive, how often was it started, did it get given up."""

    name: str
    agent_id: int
    pid: int | None
    starts: int
    is_given_up: bool


class Supervisor:
    """Registers and runs the agents of a fleet against the API at `url`, with the operator's key."""

    def __init__(
        self,
        url: str,
        operator_key: str,
        fleet: Iterable[AgentSpec],
        *,
        keyring: Keyring | None = None,
        policy: RestartPolicy | None = None,
        command: Command = lambda spec: module_command(spec.module),
    ) -> None:
        self._url = url
        self._operator = NacreClient(url, operator_key)
        self._fleet = tuple(fleet)
        self._keyring = keyring or Keyring()
        self._policy = policy or RestartPolicy()
        self._command = command
        self._wards: list[Ward] = []
        self._reports: deque[dict[str, Any]] = deque()
        self._report_at = 0.0

    def start(self) -> None:
        """Register every agent and start it.

        Raises:
            ApiProblem: the operator key is refused, or an agent's registration is.
            UnreachableError: the API does not answer.
        """
        self._wards = [Ward(spec, self._registered(spec)) for spec in self._fleet]
        self.poll()

    def poll(self) -> None:
        """Look after every agent once; returns soon, but may make an HTTP call when one was given up."""
        for ward in self._wards:
            self._look_after(ward)
        if self._reports and time.monotonic() >= self._report_at:
            self._report()

    def status(self) -> list[WardStatus]:
        """How each agent is, in the fleet's order."""
        return [
            WardStatus(
                name=ward.credentials.name,
                agent_id=ward.credentials.agent_id,
                pid=None if ward.process is None else ward.process.pid,
                starts=ward.starts,
                is_given_up=ward.is_given_up,
            )
            for ward in self._wards
        ]

    def last_lines(self, name: str) -> list[str]:
        """The last lines (at most 50) that the agent of this name wrote; empty for a name unknown."""
        return [line for ward in self._wards if ward.credentials.name == name for line in ward.lines]

    def stop(self) -> None:
        """End every agent: SIGTERM, and two seconds later SIGKILL to its group. Safe to call twice."""
        living = [ward.process for ward in self._wards if ward.process is not None]
        for process in living:
            process.ask_to_end()
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until and any(process.poll() is None for process in living):
            time.sleep(0.02)
        for ward in self._wards:
            if ward.process is not None:
                ward.process.kill()
                ward.process = None
        self._wards = []
        self._operator.close()

    def _look_after(self, ward: Ward) -> None:
        now = time.monotonic()
        if ward.process is not None:
            exit_code = ward.process.poll()
            if exit_code is not None:
                self._buried(ward, now, exit_code)
        if ward.is_given_up:
            return
        action = next_action(ward.history, now, self._policy)
        if action is Action.START:
            self._start_one(ward)
        elif action is Action.GIVE_UP:
            self._give_up(ward)

    def _start_one(self, ward: Ward) -> None:
        key, settings = ward.credentials.api_key, dict(ward.spec.environment)
        environment = agent_environment(self._url, key, settings, os.environ, ward.spec.inherits)
        ward.process = AgentProcess(self._command(ward.spec), environment, ward.lines)
        ward.history.append(Run(time.monotonic()))
        ward.starts += 1
        del ward.history[:-RUNS_KEPT]

    def _buried(self, ward: Ward, now: float, exit_code: int) -> None:
        if ward.process is not None:
            ward.process.kill()  # whoever it left behind in its group
            ward.process = None
        ward.history[-1] = Run(ward.history[-1].started_at, now, exit_code)
        said = ward.lines[-1] if ward.lines else "nothing"
        logger.warning("agent %s ended with code %s; it said: %s", ward.credentials.name, exit_code, said)

    def _give_up(self, ward: Ward) -> None:
        ward.is_given_up = True
        crashes = crashes_in_a_row(ward.history, self._policy)
        last = ward.history[-1]
        context = {
            "agent_id": ward.credentials.agent_id,
            "module": ward.spec.module,
            "crashes_in_a_row": crashes,
            "last_exit_code": last.exit_code,
            "last_lines": list(ward.lines),
        }
        name = ward.credentials.name
        logger.error("agent %s crashed %d times in a row; given up: %s", name, crashes, context)
        self._reports.append({"kind": "agent_crashed", "subject": name, "context": context})

    def _report(self) -> None:
        """Queue the oldest report for a person; tried again later when the API does not take it now."""
        try:
            self._operator.post("/review-items", self._reports[0])
        except UnreachableError as error:
            logger.warning("a report waits: %s", error)
            self._report_at = time.monotonic() + REPORT_AGAIN_SECONDS
        except ApiProblem as problem:
            logger.warning("a report waits: %s", problem)
            self._report_at = time.monotonic() + REPORT_AGAIN_SECONDS
        else:
            self._reports.popleft()

    def _registered(self, spec: AgentSpec) -> Credentials:
        kept = self._keyring.get(spec.name)
        if kept is not None and self._is_known(kept):
            return kept
        for number in range(1, NAMES_TRIED + 1):
            name = spec.name if number == 1 else f"{spec.name}-{number}"
            body = {
                "name": name,
                "owner": spec.owner,
                "scopes": [str(scope) for scope in spec.scopes],
                "vouched": spec.is_vouched,
            }
            try:
                answer = self._operator.post("/agents", body)
            except ApiProblem as problem:
                if problem.status != HTTPStatus.CONFLICT or number == NAMES_TRIED:
                    raise
                continue
            credentials = Credentials(int(answer["agent_id"]), name, str(answer["api_key"]))
            self._keyring.keep(spec.name, credentials)
            return credentials
        raise AssertionError  # the loop returns or raises

    def _is_known(self, kept: Credentials) -> bool:
        """Whether the platform still knows this key (its database may be another one by now)."""
        with NacreClient(self._url, kept.api_key) as client:
            try:
                me = client.get("/agents/me")
            except ApiProblem as problem:
                if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return False
        return bool(me["agent_id"] == kept.agent_id)
