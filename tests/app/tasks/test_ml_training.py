"""Classifiers are judged on rows that were held back; what was not learnt is not paid for."""

import random

import pytest
from pydantic import ValidationError
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from app.tasks.deadline import DeadlinePassedError
from app.tasks.ml_training.bundled_sets import bundled
from app.tasks.ml_training.declaration import BUNDLED_ROWS
from app.tasks.ml_training.table import read_table, split_rows
from tests.app.tasks.trials import codes, judged, prepared, worked

NAME = "ml_training"


def uploaded_table(rows=240, seed=3):
    """A table in which weight and colour together tell the kind, with some noise."""
    draw = random.Random(seed)
    lines = ["weight,colour,noise,kind"]
    for _ in range(rows):
        kind = draw.choice(["pearl", "stone"])
        weight = draw.gauss(2.0 if kind == "pearl" else 4.0, 0.7)
        colour = draw.choices(["white", "grey", "black"], [6, 2, 1] if kind == "pearl" else [1, 3, 5])[0]
        lines.append(f"{weight:.3f},{colour},{draw.random():.3f},{kind}")
    return "\n".join(lines)


def prepared_upload(**changes):
    given = {"data_set": "csv", "csv_text": uploaded_table(), "target_column": "kind", **changes}
    return prepared(NAME, **given)


@pytest.mark.parametrize(
    ("name", "load"), [("breast_cancer", load_breast_cancer), ("wine", load_wine), ("digits", load_digits)]
)
def test_bundled_tables_are_those_of_the_library(name, load):
    features, labels = bundled(name)
    theirs = load()
    assert (features == theirs.data).all()
    assert [int(label) for label in labels] == theirs.target.tolist()
    assert len(labels) == BUNDLED_ROWS[name]


@pytest.mark.parametrize("data_set", sorted(BUNDLED_ROWS))
def test_full_effort_verifies_for_every_table_and_seed(data_set):
    payloads = [{"data_set": data_set, "seed": seed} for seed in range(6)]
    assert codes(NAME, payloads, 1.0) == ["verified"] * 6


def test_poor_effort_is_often_inaccurate_and_not_always():
    found = codes(NAME, [{"seed": seed} for seed in range(30)], 0.15)
    assert 2 <= found.count("verified") <= 20
    assert set(found) <= {"verified", "inaccurate", "boastful_score"}


def test_an_uploaded_table_is_learnt_without_its_held_back_labels():
    task = prepared_upload()
    held_back = task.private["held_out_labels"]
    assert len(task.public["held_out_features"]) == len(held_back) == 72
    assert len(task.public["training_features"]) == len(task.public["training_labels"]) == 168
    assert "held_out_labels" not in task.public
    assert all("kind" not in key and "csv" not in key for key in task.public)
    verdict = judged(NAME, task, worked(NAME, task))
    assert verdict.is_verified, verdict.reason
    assert verdict.measures["accuracy"] > 0.85


def test_guessing_the_commonest_label_is_not_enough():
    task = prepared_upload()
    result = worked(NAME, task)
    constant = {**result, "predictions": ["pearl"] * len(result["predictions"]), "cv_score": 0.5}
    assert judged(NAME, task, constant).code == "inaccurate"


def test_a_score_far_above_what_the_held_back_rows_show_is_refused():
    task = prepared_upload(minimum_accuracy=0.5)
    result = worked(NAME, task)
    half_wrong = [
        label if index % 3 else ("stone" if label == "pearl" else "pearl")
        for index, label in enumerate(result["predictions"])
    ]
    assert judged(NAME, task, {**result, "predictions": half_wrong, "cv_score": 1.0}).code == "boastful_score"


def test_predictions_for_other_rows_are_refused():
    task = prepared(NAME)
    result = worked(NAME, task)
    shuffled = list(result["predictions"])
    random.Random(1).shuffle(shuffled)
    assert judged(NAME, task, {**result, "predictions": shuffled}).code == "inaccurate"
    assert judged(NAME, task, {**result, "predictions": shuffled[:-1]}).code == "wrong_length"


def test_a_split_is_a_partition_and_moves_with_its_seed():
    training, held_out = split_rows(100, 30, 5)
    assert sorted(training + held_out) == list(range(100))
    assert len(held_out) == 30
    assert split_rows(100, 30, 6)[1] != held_out


def test_columns_are_numbers_only_when_every_cell_is():
    table = read_table("a,b,c\n" + "1,x,yes\n2.5,3,no\n" * 20, "c")
    assert table.columns == ("a", "b")
    assert table.rows[1] == [2.5, "3"]
    assert table.labels[:2] == ["yes", "no"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"csv_text": None}, "needs csv_text"),
        ({"target_column": "price"}, "no column 'price'"),
        ({"csv_text": "weight,kind\n1,pearl\n"}, "1 rows"),
        ({"csv_text": "weight,kind\n" + "1,pearl\n" * 40}, "1 classes"),
        ({"csv_text": uploaded_table() + "\n1,2"}, "row 241 of the CSV has 2 cells"),
        ({"csv_text": "kind,kind\n" + "1,2\n" * 40}, "same name"),
        ({"csv_text": ""}, "empty"),
        ({"data_set": "wine"}, "go with data_set csv only"),
        ({"held_out_share": 0.9}, "0.5"),
    ],
)
def test_a_payload_that_is_no_table_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        prepared_upload(**changes)


def test_time_runs_out():
    with pytest.raises(DeadlinePassedError):
        worked(NAME, prepared(NAME), deadline_seconds=0.0)
