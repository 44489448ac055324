"""The ledger's proofs, the quick ones (`prove_ledger.py`: every byte, more kills, more histories)."""

from tests.proofs.ledger_proofs import every_departure, folded_histories, kills_of_appenders
from tests.proofs.merkle_probes import probes
from tests.services.laboratory import Laboratory


def test_every_probe_of_the_tree_comes_out_as_the_rfc_says():
    found = probes()
    assert [name for name, holds in found if not holds] == []
    assert len(found) == len({name for name, _ in found}) > 200


def test_departures_from_an_export_are_detected_and_named(platform):
    assert every_departure(Laboratory(platform).set_up(), step=61)["departures"] > 400


def test_appenders_killed_in_mid_append_leave_a_valid_prefix(platform):
    assert kills_of_appenders(platform, kills=6, seed=6)["entries"] > 6


def test_the_fold_is_the_live_config_over_random_histories(platform):
    assert folded_histories(platform, histories=6, seed=6)["sizes"] > 100
