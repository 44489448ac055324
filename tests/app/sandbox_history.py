"""A sandbox with a history, for tests that only read: experiments by how they ended, and two that run.

Real services over a SQLite file; the tasks are planted by the laboratory. Made once per session, then copied.
"""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from services import ab_sandbox
from services.store import sql, tables
from tests.plugins.databases import url_of_file
from tests.plugins.platforms import platform_over
from tests.services.laboratory import TIMEOUT, Laboratory

PASSAGES = "research_synthesis.passages_per_answer"
BETTER, ALIKE, HARMFUL = (0.3, 0.95), (0.6, 0.6), (0.95, 0.3)
DAY_SECONDS = 86_400
VALUES = {
    "sandbox.ramp_percent": "10",
    "sandbox.holdout_percent": "3",
    "sandbox.placebo_tasks": "60",
    "sandbox.probation_tasks": "1500",
}


@dataclass(frozen=True)
class History:
    """The database, its folder, and the experiments in it by what became of them."""

    folder: Path
    ids: dict[str, int]

    @property
    def url(self):
        return url_of_file(self.folder / "history.db")

    def copy_to(self, folder):
        """Return the same history in another folder, to write to."""
        for name in ("history.db", "checkpoint.key"):
            shutil.copyfile(self.folder / name, folder / name)
        return History(folder, self.ids)


def make_history(template, folder):
    """Play the history into `folder` and return it."""
    shutil.copyfile(template, folder / "history.db")
    platform = platform_over(url_of_file(folder / "history.db"), folder, starting_values=VALUES)
    lab = Laboratory(platform).set_up()
    ids = Player(lab).play()
    assert lab.audit().ok, lab.audit().reason
    platform.close()
    return History(folder, ids)


@dataclass
class Player:
    """Lets experiments run one after the other on one laboratory."""

    lab: Laboratory

    def play(self):
        lab = self.lab
        self.placebo()
        ids = {"confirmed": lab.confirmed(guardrails=(("task_cost", "0.5"),))["id"]}
        ids["placebo"] = self.ended_placebo()
        self.days(8)
        ids["rolled_back"] = self.taken_back(to="240")
        self.days(8)
        ids["ranked"] = self.ranked(to="210")
        self.days(8)
        ids["taken_back_by_a_person"] = self.trial(BETTER, to="300")
        lab.roll_back("it costs too much")
        lab.deliver()
        self.days(8)
        ids["futile"] = self.trial(ALIKE, parameter=PASSAGES, to="9", rates_of=PASSAGES)
        self.placebo()
        self.days(8)
        ids["aborted"] = self.trial((0.95, 0.05), to="200", expected_effect="0.12", cap_tasks=900)
        self.days(8)
        ids["probation"] = self.trial(BETTER, to="170")
        lab.work(15, BETTER, random.Random(3), step=1.0)
        ids["running"] = lab.running(parameter=PASSAGES, to="4", evidence=lab.failing())
        lab.work(25, ALIKE, random.Random(4), parameter=PASSAGES, step=2.0)
        return ids

    def days(self, count):
        """Let days pass, with enough traffic that proposals are admitted and the holdout has tasks."""
        self.lab.pass_seconds(count * DAY_SECONDS)
        self.lab.ended_tasks(200)
        self.lab.pass_seconds(3_600)
        with self.lab.write() as tx:
            everybody = [self.lab.proposer, *self.lab.voters]
            sql.update(tx, tables.agent, {"id": everybody}, last_active_at_us=tx.now_us)
            ab_sandbox.evaluate_running(tx)
        self.lab.deliver()

    def trial(self, rates, rates_of=TIMEOUT, **changes):
        """Run one trial to its end, and let the ledger do what follows; return the experiment's id."""
        number = self.lab.running(evidence=self.lab.failing(), **changes)
        self.lab.run_experiment(number, rates, parameter=rates_of, step=1.0)
        self.lab.deliver()
        return number

    def taken_back(self, **changes):
        """A change that is good at first and harms in probation."""
        number = self.trial(BETTER, **changes)
        self.lab.run_experiment(number, HARMFUL, at_most=1500, batch=25)
        self.lab.deliver()
        assert self.lab.experiment(number)["state"] == "rolled_back"
        return number

    def ranked(self, **changes):
        """A change tried for speed: treated tasks take half as long; promoted and confirmed."""
        rng = random.Random(9)
        number = self.lab.running(
            metric="task_duration",
            guardrails=(("task_success", "0.12"),),
            expected_effect="0.4",
            evidence=self.lab.failing(),
            **changes,
        )
        for _ in range(150):
            assigned = self.lab.assign_many(12)
            waiting = {
                task_id: (1.0 if values[TIMEOUT].arm else 2.0) * rng.uniform(0.6, 1.4)
                for task_id, values in assigned
            }
            passed = 0.0
            for task_id, wait in sorted(waiting.items(), key=lambda item: item[1]):
                self.lab.pass_seconds(wait - passed)
                passed = wait
                self.lab.end(task_id, is_success=rng.random() < 0.97)
            self.lab.deliver()
            if self.lab.experiment(number)["state"] in ("confirmed", "rolled_back", "aborted"):
                break
        return number

    def placebo(self):
        with self.lab.write() as tx:
            return ab_sandbox.start_placebo(tx, self.lab.platform.context.entropy)

    def ended_placebo(self):
        self.lab.evaluate()
        self.lab.deliver()
        found = self.lab.rows(tables.experiment, kind="placebo")[0]
        assert found["verdict"] is not None
        return found["id"]
