"""The task type `ml_training`: its payload, parameters and what the platform holds back (labels of some
rows). Light: pydantic and the standard library. It never trains.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from app.tasks.ml_training.table import Table, majority_share, read_table, split_rows
from app.tasks.seeding import derived_seed
from app.tasks.task_type import (
    Payload,
    PreparedTask,
    TaskType,
    reserve_price_parameter,
    timeout_parameter,
)

UPLOADED = "csv"
BUNDLED_ROWS = {"breast_cancer": 569, "wine": 178, "digits": 1797}
BUNDLED_MINIMUM_ACCURACY = {"breast_cancer": 0.93, "wine": 0.90, "digits": 0.91}
CSV_CHARACTERS_MAX = 2_000_000

EXAMPLE: dict[str, Any] = {"data_set": "breast_cancer", "held_out_share": 0.3, "folds": 3, "seed": 7}


class MlTrainingPayload(Payload):
    """Train and cross-validate a classifier, then predict the rows that were held out.

    `data_set` names a bundled table, or is `csv`: then `csv_text` (with a header line) and `target_column`
    come along.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    data_set: Literal["breast_cancer", "wine", "digits", "csv"]
    csv_text: Annotated[str | None, Field(max_length=CSV_CHARACTERS_MAX)] = None
    target_column: Annotated[str | None, Field(max_length=200)] = None
    held_out_share: Annotated[float, Field(ge=0.1, le=0.5)] = 0.3
    folds: Annotated[int, Field(ge=2, le=10)] = 3
    minimum_accuracy: Annotated[float | None, Field(ge=0, le=1)] = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _has_its_table(self) -> "MlTrainingPayload":
        has_upload = self.csv_text is not None and self.target_column is not None
        if self.data_set == UPLOADED and not has_upload:
            raise ValueError("data_set csv needs csv_text and target_column")
        if self.data_set != UPLOADED and (self.csv_text is not None or self.target_column is not None):
            raise ValueError("csv_text and target_column go with data_set csv only")
        if self.data_set == UPLOADED:
            self.table()
        return self

    def table(self) -> Table:
        """The uploaded table. Raises ValueError for text that is none, or for a payload without one."""
        return read_table(self.csv_text or "", self.target_column or "")


def prepare(payload: dict[str, Any]) -> PreparedTask:
    """Hold rows back. Of an uploaded table agents never see the labels of those rows; of a bundled one they
    could look them up, for the table is public: such tasks measure work, not secrets.
    """
    task = MlTrainingPayload.model_validate(payload)
    seed = derived_seed("ml_training.split", task.seed)
    return _prepared_upload(task, seed) if task.data_set == UPLOADED else _prepared_bundled(task, seed)


def _prepared_bundled(task: MlTrainingPayload, seed: int) -> PreparedTask:
    public = {
        "data_set": task.data_set,
        "split_seed": seed,
        "held_out_rows": round(BUNDLED_ROWS[task.data_set] * task.held_out_share),
        "folds": task.folds,
        "minimum_accuracy": task.minimum_accuracy or BUNDLED_MINIMUM_ACCURACY[task.data_set],
    }
    return PreparedTask(public, {})


def _prepared_upload(task: MlTrainingPayload, seed: int) -> PreparedTask:
    table = task.table()
    held_out_rows = round(len(table.rows) * task.held_out_share)
    training, held_out = split_rows(len(table.rows), held_out_rows, seed)
    public = {
        "data_set": UPLOADED,
        "split_seed": seed,
        "columns": list(table.columns),
        "training_features": [table.rows[row] for row in training],
        "training_labels": [table.labels[row] for row in training],
        "held_out_features": [table.rows[row] for row in held_out],
        "held_out_rows": held_out_rows,
        "folds": task.folds,
        "minimum_accuracy": task.minimum_accuracy or majority_share(table.labels),
    }
    return PreparedTask(public, {"held_out_labels": [table.labels[row] for row in held_out]})


ML_TRAINING = TaskType(
    name="ml_training",
    summary="Train and cross-validate a classifier and predict held-out rows.",
    payload_model=MlTrainingPayload,
    prepare=prepare,
    tool="app.tasks.ml_training.tool:run",
    verifier="app.tasks.ml_training.verifier:verify",
    parameters=(timeout_parameter(120.0), reserve_price_parameter(500_000)),
    example=EXAMPLE,
    known_answers="app.tasks.ml_training.known_answers:known_case",
)
