"""What is measured and how: samples taken in interleaved rounds, medians, ratios by round, percentiles.

A rate moves with whatever else the machine does; the ratio of two cases of one round, and the processor time
of one operation, move much less. So cases are run in turn, in an order shuffled by a fixed seed, and every
ratio is taken round by round before its median is.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one case: operations done, wall and processor seconds, each operation's latency if taken.

    `counts` are whatever else was counted, by name (statements, transactions, paid twice, ...).
    """

    operations: int
    seconds: float
    cpu_seconds: float = 0.0
    latencies_seconds: Sequence[float] = ()
    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor microseconds per operation; no number without an operation."""
        return 1e6 * self.cpu_seconds / self.operations if self.operations else float("nan")


Case = Callable[[float], Sample]
"""Runs for about so many seconds and says what it did."""


@dataclass
class Results:
    """The samples of every case in the order of the rounds, and why a case has none."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, sample: Sample) -> None:
        """Keep one more sample of a case."""
        self.samples.setdefault(name, []).append(sample)

    def has(self, *names: str) -> bool:
        """Tell whether every one of these cases was measured."""
        return all(self.samples.get(name) for name in names)

    def rate(self, name: str) -> float:
        """Return the median rate of a case in operations per second."""
        return statistics.median(sample.rate for sample in self.samples[name])

    def cpu_us(self, name: str) -> float:
        """Return the median processor time per operation in microseconds."""
        return statistics.median(sample.cpu_us for sample in self.samples[name])

    def ratio(self, name: str, to: str) -> float:
        """Return the median over the rounds of one case's rate divided by another's."""
        pairs = zip(self.samples[name], self.samples[to], strict=False)
        return statistics.median(
            one.rate / other.rate if other.rate else float("inf") for one, other in pairs
        )

    def percentile_us(self, name: str, percent: float) -> float:
        """Return the median over the rounds of a percentile of the latency, in microseconds."""
        return 1e6 * statistics.median(
            percentile(sample.latencies_seconds, percent) for sample in self.samples[name]
        )

    def count(self, name: str, what: str) -> float:
        """Return the median of something counted beside."""
        return statistics.median(sample.counts[what] for sample in self.samples[name])

    def total(self, name: str, what: str) -> float:
        """Return the sum over the rounds of something counted beside."""
        return sum(sample.counts[what] for sample in self.samples[name])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many per cent do not exceed; no number for none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def run_rounds(
    results: Results,
    cases: Mapping[str, Case],
    rounds: int,
    seconds: float,
    rng: random.Random,
    say: Callable[[str], None],
) -> None:
    """Run every case once a round, each round in another order; one that fails is left out from then on."""
    names = list(cases)
    for number in range(1, rounds + 1):
        rng.shuffle(names)
        for name in [name for name in names if name not in results.failures]:
            say(f"round {number} of {rounds}: {name}")
            try:
                results.add(name, cases[name](seconds))
            except Exception as error:  # noqa: BLE001 (a peer that breaks must not end the run; it is printed)
                results.failures[name] = f"{type(error).__name__}: {error}"[:300]


@dataclass
class Watch:
    """Wall and processor seconds between entering and leaving `watching`."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def sample(self, operations: int, latencies: Sequence[float] = (), **counts: float) -> Sample:
        """Return what was watched as a sample."""
        return Sample(operations, self.seconds, self.cpu_seconds, latencies, counts)


@contextmanager
def watching() -> Iterator[Watch]:
    """Take the wall time and this process's processor time (all threads) of the block."""
    watch = Watch()
    wall, cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.seconds, watch.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu


def until(seconds: float) -> Iterator[int]:
    """Count up until so many seconds have passed."""
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end:
        yield number
        number += 1


def in_threads(work: Callable[[int], int], threads: int) -> int:
    """Run `work(thread)` in so many threads at once and return the sum of what they say; errors come out."""
    said: list[int] = [0] * threads
    raised: list[BaseException] = []
    ready = threading.Barrier(threads)

    def run(number: int) -> None:
        try:
            ready.wait()
            said[number] = work(number)
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that asked)
            raised.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if raised:
        raise raised[0]
    return sum(said)


def cpu_seconds_of(pid: int) -> float:
    """Return the processor seconds that a process and its living children have used."""
    process = psutil.Process(pid)
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    return float(sum(used.user + used.system for used in times))
