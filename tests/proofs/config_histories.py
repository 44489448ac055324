"""Random histories of the config: registered, promoted, rolled back and overridden values in any order.

Each is played by the platform's own acts in one transaction that is then given up. At every size the fold of
the entries must be the config that was in force then.
"""

import random
from contextlib import suppress
from dataclasses import replace

from services import evolution_ledger
from services.domain.ledger_schema import EntryType
from services.domain.parameters import ParameterRegistry, Risk
from services.domain.states import ValueSource
from services.operations import audit_log, overrides, production_config
from services.operations.overrides import Wanted

ACTS = 24


class GivenUp(Exception):  # noqa: N818  it ends a history
    """Raised to give a history's transaction up."""


class ConfigHistory:
    """One history under way in one transaction: what is in force, and what was after each size."""

    def __init__(self, tx, registry, seed):
        self.tx, self.registry, self.draw = tx, registry, random.Random(seed)
        self.promotions, self.counts = [], {"register": 0, "promote": 0, "roll back": 0, "override": 0}
        self.at_size = {}
        self.note()

    def note(self):
        self.at_size[audit_log.size(self.tx)] = production_config.snapshot(self.tx)

    def play(self):
        """Do so many random acts."""
        for number in range(ACTS):
            kind = self.draw.choices(list(self.counts), [1, 4, 3, 4])[0]
            if kind == "roll back" and not self.promotions:
                kind = "promote"
            {"register": self.register, "promote": self.promote, "roll back": self.roll_back,
             "override": self.override}[kind](number)  # fmt: skip
            self.counts[kind] += 1
            self.note()

    def chosen(self):
        """Return a parameter that may move, its value in force, and another that it may have."""
        free = [one for one in self.registry if one.risk is not Risk.FIXED and one.is_number]
        parameter = self.draw.choice(free)
        now = production_config.effective(self.tx, parameter.name)
        low, high = float(parameter.low), float(parameter.high)
        drawn = self.draw.uniform(low, high)
        value = str(round(drawn)) if high - low > 2 else repr(round(drawn, 4))
        return parameter, now, value

    def register(self, number):
        model = next(iter(self.registry))
        fresh = replace(model, name=f"history.made_{number}_{self.draw.randrange(10**6)}", owner="history")
        self.registry = ParameterRegistry([*self.registry, fresh])
        production_config.install(self.tx, self.registry, origin="history")

    def promote(self, _number):
        parameter, now, value = self.chosen()
        self.change(parameter.name, now, value, ValueSource.PROMOTED)

    def change(self, name, now, value, source, **facts):
        done = production_config.change(
            self.tx, name, expected_version=now.version, value=value, source=source, experiment_id=None
        )
        shared = {"parameter": name, "from": now.value, "to": value, "version": done.version,
                  "config_before": done.config_before, "config_after": done.config_after,
                  "read_back": done.read_back}  # fmt: skip
        if source is ValueSource.PROMOTED:
            index = audit_log.append(
                self.tx, EntryType.PROMOTED, {**shared, "experiment_id": 1, "proposal_id": 1}
            )
            self.promotions.append((name, now.value, index))
        else:
            index = audit_log.append(self.tx, EntryType.ROLLED_BACK, {**shared, **facts})
        production_config.link_ledger(self.tx, name, done.version, index)

    def roll_back(self, _number):
        name, before, index = self.promotions.pop(self.draw.randrange(len(self.promotions)))
        now = production_config.effective(self.tx, name)
        facts = {"reason": "random", "promoted_index": index}
        self.change(name, now, before, ValueSource.OVERRIDE, **facts)

    def override(self, _number):
        parameter, now, value = self.chosen()
        if value != now.value:
            wanted = Wanted(parameter.name, value)
            try:
                overrides.set_parameter(self.tx, self.registry, wanted, reason="a random history")
            except overrides.InvalidValueError:
                self.counts["override"] -= 1

    def differences(self):
        """Return the sizes at which the fold of the entries is not what was in force."""
        return [
            size for size, config in self.at_size.items()
            if evolution_ledger.config_at(self.tx, size)["config"] != config
        ]  # fmt: skip


def played(platform, seed):
    """Play one history, give it up, and return (differences, counts of acts, sizes compared)."""
    found = None
    with suppress(GivenUp), platform.store.write(actor="operator") as tx:
        history = ConfigHistory(tx, platform.registry, seed)
        history.play()
        found = history.differences(), history.counts, len(history.at_size)
        raise GivenUp
    return found
