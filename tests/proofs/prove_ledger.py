"""Long proofs of the ledger: every byte of an export, kills in mid-append (KILLS=), configs (HISTORIES=)."""

import os

from tests.proofs.ledger_proofs import every_departure, folded_histories, kills_of_appenders
from tests.services.laboratory import Laboratory

KILLS = int(os.environ.get("KILLS", "200"))
HISTORIES = int(os.environ.get("HISTORIES", "1000"))
SEED = int(os.environ.get("SEED", "6"))


def test_every_byte_and_line_of_an_export(platform):
    print(every_departure(Laboratory(platform).set_up(), step=1))


def test_many_kills_in_mid_append(platform):
    print(kills_of_appenders(platform, kills=KILLS, seed=SEED))


def test_the_fold_is_the_live_config_over_many_histories(platform):
    print(folded_histories(platform, histories=HISTORIES, seed=SEED))
