"""The platform's side of `ml_training`: scores the predictions on the rows it held back.
It never believes the claimed cross-validation score; one far above what the held-out rows show is refused.
"""

import math
from typing import Annotated, Any

from pydantic import Field

from app.tasks.ml_training.bundled_sets import bundled
from app.tasks.ml_training.declaration import UPLOADED
from app.tasks.ml_training.table import CELL_CHARACTERS_MAX, ROWS_MAX, split_rows
from app.tasks.task_type import Fetch, Verification
from app.tasks.verification import Result, read_result, refused, verified

BOAST_STANDARD_ERRORS = 3.0
BOAST_FREE = 0.03  # cross-validation may look this much better for no bad reason


class MlTrainingResult(Result):
    """What a worker hands in: a label for every held-out row, and how its own cross-validation went."""

    predictions: Annotated[
        list[Annotated[str, Field(max_length=CELL_CHARACTERS_MAX)]],
        Field(min_length=1, max_length=ROWS_MAX, fail_fast=True),
    ]
    cv_score: Annotated[float, Field(ge=0, le=1)]
    cv_folds: Annotated[int, Field(ge=0, le=100)]
    rows_used: Annotated[int, Field(ge=1, le=ROWS_MAX)]


def verify(public: dict[str, Any], private: dict[str, Any], result: object, fetch: Fetch) -> Verification:
    """Accept predictions as accurate as was asked for and a score they bear out."""
    del fetch  # nothing outside is needed
    claim = read_result(MlTrainingResult, result)
    if isinstance(claim, Verification):
        return claim
    truth = _truth(public, private)
    if len(claim.predictions) != len(truth):
        sentence = f"result.predictions has {len(claim.predictions)} entries for {len(truth)} held-out rows"
        return refused("wrong_length", sentence)
    accuracy = sum(map(str.__eq__, claim.predictions, truth)) / len(truth)
    minimum = float(public["minimum_accuracy"])
    measures = {"accuracy": accuracy, "cv_score": claim.cv_score, "minimum_accuracy": minimum}
    if accuracy < minimum:
        sentence = f"{accuracy:.3f} on the held-out rows, {minimum:.3f} asked for"
        return refused("inaccurate", sentence, **measures)
    if claim.cv_score > accuracy + _allowance(accuracy, len(truth), claim.rows_used):
        sentence = f"cross-validation claims {claim.cv_score:.3f}, the held-out rows say {accuracy:.3f}"
        return refused("boastful_score", sentence, **measures)
    return verified(f"accuracy {accuracy:.3f} on {len(truth)} held-out rows", **measures)


def _truth(public: dict[str, Any], private: dict[str, Any]) -> list[str]:
    if public["data_set"] == UPLOADED:
        return list(private["held_out_labels"])
    _, labels = bundled(public["data_set"])
    _, held_out = split_rows(len(labels), public["held_out_rows"], public["split_seed"])
    return [str(label) for label in labels[held_out]]


def _allowance(accuracy: float, held_out_rows: int, rows_used: int) -> float:
    """BOAST_FREE plus three binomial standard errors of the difference (variance floored at 0.02)."""
    variance = max(accuracy * (1.0 - accuracy), 0.02)
    return BOAST_FREE + BOAST_STANDARD_ERRORS * math.sqrt(variance * (1.0 / held_out_rows + 1.0 / rows_used))
