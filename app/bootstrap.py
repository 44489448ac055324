"""The composition root: builds the platform from settings, the real one and a test's one by the same code.

The only module that imports the cron registry and that starts anything. It never decides anything.
"""

import gc
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock

from app.checkpoint_folder import CheckpointFolder
from app.demonstration import profile as demonstration
from app.egress.destinations import Destinations, EgressPolicy
from app.egress.sender import WebhookSender
from app.keys import CheckpointSigner, operator_key, webhook_key
from app.own_parameters import registry_with_own
from app.reports.delivering import ReportDelivery
from app.settings import Profile, Settings
from app.tasks.registry import load_registry
from app.tasks.task_type import ParameterSpec, TaskType
from app.verification import ResultVerifier, allowed_fetch, known_answers_of
from cron_registry import CRON_JOBS
from services import event_bus, evolution_ledger, loop
from services.cron_runner import CronJob, CronRunner
from services.domain.clock import Clock, WallClock
from services.domain.known_answers import KnownAnswers
from services.domain.parameters import PLATFORM_PARAMETERS, Parameter, ParameterRegistry, Risk, task_policy
from services.event_bus import Dispatcher, Subscriber
from services.loop import LoopContext
from services.operations import agent_registry, production_config
from services.store import deployment, migrate
from services.store.group_commit import GroupWriter
from services.store.tx import Store

COLLECT_AFTER = 100_000
"""Objects made and kept since the collector last looked (Python's own default is 700)."""


@dataclass
class Platform:
    """A whole platform over one database: store, registry, loop, jobs and keys; nothing runs by itself."""

    settings: Settings
    store: Store
    registry: ParameterRegistry
    task_types: Mapping[str, TaskType]
    context: LoopContext
    subscribers: Mapping[str, Subscriber]
    jobs: Sequence[CronJob[LoopContext]]
    operator_key_hash: str
    signer: CheckpointSigner
    _writer: GroupWriter | None = field(default=None, init=False)
    _opening: Lock = field(default_factory=Lock, init=False)

    @property
    def writer(self) -> GroupWriter:
        """Return what writes the acts of many callers together; its threads start at the first call."""
        with self._opening:
            if self._writer is None:
                self._writer = GroupWriter(self.store)
            return self._writer

    def close(self) -> None:
        """Write what is queued and close the database."""
        with self._opening:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self.store.close()


def open_platform(
    settings: Settings,
    *,
    clock: Clock | None = None,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    task_types: Mapping[str, TaskType] | None = None,
    verify: loop.Verify | None = None,
    known_answers: Mapping[str, KnownAnswers] | None = None,
    starting_values: Mapping[str, str] | None = None,
    is_migrated: bool = False,
) -> Platform:
    """Return the platform over the settings' database, migrated and installed.

    A demonstration starts from `app.demonstration.profile`; `starting_values` come on top. They only matter
    the first time: afterwards the config is what the ledger says. The task types' known answers are for their
    own verifiers: another `verify` is probed with the `known_answers` that come with it, if any.
    """
    types = load_registry().types if task_types is None else task_types
    registry = registry_of(settings, types, starting_values)
    fetch = allowed_fetch(settings.document_origins, settings.document_folder)
    if known_answers is None:
        known_answers = known_answers_of(types) if verify is None else {}
    clock = clock or WallClock()
    signer, notes = CheckpointSigner.from_directory(settings.var_directory), settings.checkpoint_folder
    context = LoopContext(
        registry,
        entropy,
        verify or ResultVerifier(types, fetch),
        known_answers,
        clock.now_us,
        signer,
        None if notes is None else CheckpointFolder(notes),
    )
    subscribers = loop.subscribers(context)
    key = settings.operator_key or operator_key(settings.var_directory)
    store = Store(settings.database_url, clock, event_bus.routes_of(subscribers))
    with ExitStack() as refused:
        refused.callback(store.close)
        with migrate.starting_alone(settings.database_url):
            if not is_migrated:
                migrate.upgrade(settings.database_url)
            with store.write(actor="system:start") as tx:
                origin = deployment.origin(tx, f"nacre/{entropy(8).hex()}")
                production_config.install(tx, registry, origin=origin)
                evolution_ledger.begin_epoch(tx, entropy)
        refused.pop_all()
    return Platform(
        settings,
        store,
        registry,
        types,
        context,
        subscribers,
        _jobs(settings.profile),
        agent_registry.key_hash(key),
        signer,
    )


def registry_of(
    settings: Settings, types: Mapping[str, TaskType], starting_values: Mapping[str, str] | None = None
) -> ParameterRegistry:
    """Return the registry of a deployment: its profile's starting values, the operator's own parameters.

    Raises InvalidValueError that names file, section and key of an own parameter that is not right.
    """
    values = dict(demonstration.STARTING_VALUES) if settings.profile is Profile.DEMONSTRATION else {}
    registry = build_registry(types, {**values, **(starting_values or {})})
    return registry_with_own(registry, settings.parameters_file)


def build_registry(types: Mapping[str, TaskType], values: Mapping[str, str]) -> ParameterRegistry:
    """Return the platform's parameters and those of every task type, with other starting values."""
    of_types = [_parameter(kind, spec) for kind in types.values() for spec in kind.parameters]
    policies = [parameter for kind in types.values() for parameter in task_policy(kind.name, kind.name)]
    registry = ParameterRegistry([*PLATFORM_PARAMETERS, *of_types, *policies])
    return registry.with_defaults(values)


def _parameter(kind: TaskType, spec: ParameterSpec) -> Parameter:
    return Parameter(
        name=f"{kind.name}.{spec.suffix}",
        default=_decimal(spec.default),
        low=_decimal(spec.low),
        high=_decimal(spec.high),
        step_max=_decimal(spec.step_max),
        unit=spec.unit,
        owner=kind.name,
        risk=Risk(spec.risk),
        summary=spec.summary,
        is_whole=isinstance(spec.default, int),
        layer=spec.layer,
        sets_pay=spec.suffix == "reserve_price_microcredits",
    )


def _decimal(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def job_names() -> list[str]:
    """Return the names of the jobs of the table."""
    return [job.name for job in CRON_JOBS]


def _jobs(profile: Profile) -> tuple[CronJob[LoopContext], ...]:
    if profile is not Profile.DEMONSTRATION:
        return CRON_JOBS
    faster = demonstration.INTERVALS_SECONDS
    return tuple(
        replace(job, every_seconds=faster[job.name]) if job.name in faster else job for job in CRON_JOBS
    )


@contextmanager
def calm_collector() -> Iterator[None]:
    """Let the cyclic garbage collector look seldom, and not at what was loaded before, until the block ends.

    Rows and events come and go by the hundred thousand and make no cycles; looking through them took a fifth
    of the processor time of the market's batches.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@dataclass
class Runtime:
    """What runs in the background of one process: cron runner, delivery of events, webhooks, reports."""

    platform: Platform
    _dispatcher: Dispatcher = field(init=False)
    _cron: CronRunner[LoopContext] = field(init=False)
    _webhooks: WebhookSender = field(init=False)
    _reports: ReportDelivery = field(init=False)

    def __post_init__(self) -> None:
        """Build them; nothing runs yet."""
        store = self.platform.store
        process = f"{socket.gethostname()}:{os.getpid()}"
        self._dispatcher = Dispatcher(store, self.platform.subscribers)
        self._cron = CronRunner(store, self.platform.context, self.platform.jobs, process)
        settings = self.platform.settings
        destinations = Destinations(EgressPolicy.of(settings))
        self._webhooks = WebhookSender(store, webhook_key(settings.var_directory), destinations)
        self._reports = ReportDelivery(store, settings.reports_in)

    def start(self) -> None:
        """Start delivering events, firing jobs, sending to webhooks and making scheduled reports."""
        self._dispatcher.start()
        self._cron.start()
        self._webhooks.start()
        self._reports.start()

    def stop(self) -> None:
        """Stop them; what is under way ends first."""
        self._reports.stop()
        self._webhooks.stop()
        self._cron.stop()
        self._dispatcher.stop()
