"""Made-up proposals, experiments and parameters in the shapes of the read models; see `sample_market`."""

import math
import random

from tests.app.web.sample_experiments import sample_experiment, sample_sandbox
from tests.app.web.sample_tasks import NAMES, at
from tests.app.web.sample_votes import SampleVotes, proposal_terms, review_of


def wealth(count=200, seed=7):
    """Return a plausible wealth path: rates .67 and .94, bet 0.25/(m(1-m)) with shares of one half."""
    draw, log_e, path = random.Random(seed), 0.0, []
    mean = 0.68
    for ordinal in range(1, count + 1):
        arm = draw.randrange(2)
        outcome = float(draw.random() < (0.94 if arm else 0.67))
        log_e += math.log(1 + 0.25 / (mean * (1 - mean)) * (arm - 0.5) * (outcome - mean))
        path.append({"ordinal": ordinal - 1, "log_e": log_e, "arm": arm, "outcome": outcome})
        if ordinal >= 20 and log_e >= math.log(20):
            break
    return path


class SampleEvidence(SampleVotes):
    """The read models of votes and evidence."""

    path = wealth()

    def get_proposal(self, tx, proposal_id):
        if proposal_id != 4:
            return None
        return {
            "proposal_id": 4,
            "lap_id": 3,
            "meta_task_id": 41,
            "proposer_id": 5,
            "state": "testing" if self.running else "promoted",
            "parameter": "research_synthesis.timeout_seconds",
            "from": "0.9",
            "to": "1.8",
            "from_version": 1,
            "metric": "task_success",
            "scope": "task",
            "guardrails": [{"metric": "task_cost", "margin": "0.2"}],
            "expected_effect": "0.25",
            "base_rate": 0.67,
            "cap_tasks": 400,
            "cap_days": 7,
            "admission_tasks": 71,
            **proposal_terms("research_synthesis.timeout_seconds", "0.9", "1.8"),
            "root_cause": self.text("31 of 33 failures ended timed_out within 5 ms of the limit of 0.9 s."),
            "evidence": [7, 12, 17, 22, 27, 32, 37],
            "content_hash": "c0ffee" * 10 + "abcd",
            "risk": "open",
            "electorate": 6,
            "yes": 4,
            "no": 1,
            "abstain": 0,
            "opened_at": at(50),
            "minimum_until": at(53),
            "closes_at": at(110),
            "extended_from": at(100) if self.running else None,
            "decided_at": at(55),
            "ended_at": None if self.running else at(103),
            "end_reason": None,
            "experiment_id": 5,
            "episode_id": 6,
            "electors": [
                {"agent_id": n, "name": self.said or NAMES[n - 1], "unit": f"agent:{n}"}
                for n in (1, 2, 3, 4, 6, 7)
            ],
            "review": review_of(self.text("Ida Lovelace"), is_pending=self.running),
            "ballots": self.ballots(),
        }

    def ballots(self):
        reasons = (
            "The failing tasks all stop at the limit; the source has a long tail.",
            "Evidence holds on recount.",
            "Cost per task rises by a third; show me that it pays.",
            "Expected gain is above my line.",
            "",
        )
        choices = ("for", "for", "against", "for", "for")
        return [
            {
                "ballot_id": 30 + n,
                "agent_id": n,
                "agent_name": self.said or NAMES[n - 1],
                "unit": f"agent:{n}",
                "choice": choice,
                "forecast_percent": 80 - 9 * n,
                "reason": self.text(reason),
                "brier": 0.04 * n,
                "cast_at": at(51 + n),
            }
            for n, choice, reason in zip((1, 2, 3, 4, 6), choices, reasons, strict=True)
        ]

    def list_proposals(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        single = ("electors", "ballots", "episode_id", "review")
        first = {key: value for key, value in self.get_proposal(tx, 4).items() if key not in single}
        others = [
            {
                **first,
                "proposal_id": 3,
                "state": "rejected",
                "yes": 2,
                "no": 3,
                "abstain": 1,
                "parameter": "market.cooling",
                "from": "4",
                "to": "6",
                "end_reason": "cannot_be_carried",
                "experiment_id": None,
            },
            {
                **first,
                "proposal_id": 2,
                "state": "inquorate",
                "yes": 1,
                "no": 0,
                "abstain": 3,
                "experiment_id": None,
            },
        ]
        return self.page([item for item in (first, *others) if state in (None, item["state"])], limit, cursor)

    def get_experiment(self, tx, experiment_id):
        return sample_experiment(self.path, is_running=self.running) if experiment_id == 5 else None

    def list_experiments(self, tx, *, state=None, kind="change", limit=50, cursor=None, oldest_first=False):
        full = self.get_experiment(tx, 5)
        first = {key: value for key, value in full.items() if key != "path"}
        other = {
            **first,
            "experiment_id": 2,
            "state": "futile",
            "verdict": "inconclusive",
            "parameter": "market.cooling",
            "probation": None,
            "ended_at": at(20),
            "reason": "futile",
        }
        placebo = {**other, "experiment_id": 1, "kind": "placebo", "proposal_id": None, "lap_id": None}
        listed = (placebo,) if kind == "placebo" else (first, other)
        return self.page([item for item in listed if state in (None, item["state"])], limit, cursor)

    def sandbox_state(self, tx, registry):
        return sample_sandbox(self.text("5 of 12 placebos won"), is_frozen=self.running)

    def parameter(self, name, value, source, risk):
        return {
            "name": name,
            "value": value,
            "default": "0.9",
            "source": source,
            "version": 2,
            "kind": "number",
            "choices": [],
            "length_max": None,
            "sets_pay": False,
            "is_retired": False,
            "low": "0.1",
            "high": "10",
            "step_max": "2",
            "unit": "seconds",
            "risk": risk,
            "owner": "platform",
            "layer": "research_synthesis",
            "experiment": {"experiment_id": 5, "state": "probation"} if "timeout" in name else None,
            "summary": "How long an agent may work on a research task before it is stopped.",
            "changed_at": at(103),
        }

    def list_parameters(self, tx, registry, *, limit=500, cursor=None):
        return self.page(self.settings(), limit, cursor)

    def settings(self):
        return [
            self.parameter("consensus.threshold_percent", "51", "default", "fixed"),
            self.parameter("market.cooling", "4", "default", "open"),
            self.parameter("observatory.success_line_percent", "70", "default", "fixed"),
            self.parameter("observatory.window_seconds", "3600", "default", "fixed"),
            {
                **self.parameter("research_synthesis.prompt", self.text("A\nB"), "override", "gated"),
                "kind": "text", "length_max": 500, "low": "", "high": "", "step_max": "", "unit": "text",
            },
            {
                **self.parameter("research_synthesis.style", "full", "default", "open"), "is_retired": True,
                "kind": "choice", "choices": ["brief", "full"], "sets_pay": True,
            },
            self.parameter("research_synthesis.timeout_seconds", "1.8", "promoted", "open"),
        ]  # fmt: skip

    def config_diff(self, tx, before, after):
        point = {"at": at(103), "ledger_size": 20, "parameters": 7, "config_sha256": "5e" * 32}
        change = {
            "parameter": "research_synthesis.prompt", "from": None, "to": self.text("Read.\nAnswer." * 9),
            "from_version": None, "to_version": 2, "source": "override", "actor": "operator",
            "reason": self.text("clearer"), "experiment_id": None, "ledger_index": 19, "changed_at": at(103),
        }  # fmt: skip
        return {"from": point, "to": point, "changes": [change]}

    def get_parameter(self, tx, registry, name):
        found = [row for row in self.settings() if row["name"] == name]
        history = [
            {
                "version": 2,
                "value": "1.8",
                "source": "promoted",
                "actor": "platform",
                "reason": self.text("costs doubled"),
                "experiment_id": 5,
                "ledger_index": 19,
                "changed_at": at(103),
            },
            {
                "version": 1,
                "value": "0.9",
                "source": "default",
                "actor": "deployment",
                "reason": None,
                "experiment_id": None,
                "ledger_index": 0,
                "changed_at": at(-100),
            },
        ]
        return {**found[0], "history": history} if found else None
