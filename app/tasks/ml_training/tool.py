"""The worker's side of `ml_training`: scale, fit a logistic regression, cross-validate, predict. Run by
agents. A thrifty worker learns from a part of the rows only.
"""

import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from app.tasks.deadline import Deadline
from app.tasks.ml_training.bundled_sets import Features, Labels, bundled
from app.tasks.ml_training.declaration import UPLOADED
from app.tasks.ml_training.table import split_rows
from app.tasks.seeding import derived_seed

ITERATIONS_MAX = 200
TOLERANCE = 1e-2
Rows: TypeAlias = NDArray[np.int64]


def run(payload: dict[str, Any], effort: float, deadline_seconds: float) -> dict[str, Any]:
    """Train on the payload's rows: {predictions (in held-out order), cv_score, cv_folds, rows_used}.

    Raises:
        KeyError: the payload is not what `prepare` made.
        DeadlinePassedError: not done in time.
    """
    deadline = Deadline(deadline_seconds)
    features, labels, held_out = _uploaded(payload) if payload["data_set"] == UPLOADED else _bundled(payload)
    used = _rows_used(labels, effort, derived_seed("ml_training.rows", payload["split_seed"]))
    features, labels = features[used], labels[used]
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a loose fit is fine: its score tells
        cv_score, cv_folds = _cross_validated(features, labels, payload["folds"], deadline)
        deadline.check()
        predictions = _fitted(features, labels).predict(held_out)
    deadline.check()
    return {
        "predictions": [str(label) for label in predictions],
        "cv_score": cv_score,
        "cv_folds": cv_folds,
        "rows_used": len(used),
    }


def _bundled(payload: dict[str, Any]) -> tuple[Features, Labels, Features]:
    features, labels = bundled(payload["data_set"])
    training, held_out = split_rows(len(labels), payload["held_out_rows"], payload["split_seed"])
    return features[training], labels[training], features[held_out]


def _uploaded(payload: dict[str, Any]) -> tuple[Features, Labels, Features]:
    training, held_out = payload["training_features"], payload["held_out_features"]
    columns = [_encoded(list(column)) for column in zip(*training, *held_out, strict=True)]
    features = np.hstack(columns)
    return features[: len(training)], np.array(payload["training_labels"]), features[len(training) :]


def _encoded(column: list[float | str]) -> Features:
    """Numbers as one column, text as one column per value."""
    if not any(isinstance(cell, str) for cell in column):
        return np.array(column, dtype=np.float64).reshape(-1, 1)
    values = sorted({str(cell) for cell in column})
    return np.array([[float(str(cell) == value) for value in values] for cell in column])


def _rows_used(labels: Labels, effort: float, seed: int) -> Rows:
    """About effort² of the rows, at least one of every class and not fewer than six."""
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(labels))
    wanted = max(6, round(len(labels) * min(1.0, effort) ** 2))
    _, first_of_class = np.unique(labels[order], return_index=True)
    return np.unique(np.concatenate([order[:wanted], order[first_of_class]]))


def _fitted(features: Features, labels: Labels) -> Pipeline:
    model = LogisticRegression(max_iter=ITERATIONS_MAX, tol=TOLERANCE)
    return make_pipeline(StandardScaler(), model).fit(features, labels)


def _cross_validated(features: Features, labels: Labels, folds: int, deadline: Deadline) -> tuple[float, int]:
    """Mean accuracy over folds whose training part has two classes, and how many those were."""
    scores = []
    for fold in range(folds):
        deadline.check()
        is_test = np.arange(len(labels)) % folds == fold
        if len(set(labels[~is_test])) > 1 and is_test.any():
            model = _fitted(features[~is_test], labels[~is_test])
            scores.append(float((model.predict(features[is_test]) == labels[is_test]).mean()))
    return (sum(scores) / len(scores) if scores else 0.0), len(scores)
