"""Why a plan or a record of a bet is refused: the offending field by name, and what would be right.

Stands under everything that bets. It never mends a value and never lets one through.
"""


class FieldRefusedError(ValueError):
    """A value that may not be used; `field` names the offending field."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(field_name, message)
        self.field = field_name

    def __str__(self) -> str:
        """Return `field: message`."""
        return f"{self.args[0]}: {self.args[1]}"


class RecordRefusedError(FieldRefusedError):
    """A record that may not be counted; the state is unchanged."""


class PlanRefusedError(FieldRefusedError):
    """A plan (or its payload) that cannot be bet on."""


def require(name: str, holds: bool, message: str) -> None:  # noqa: FBT001  a condition is what it checks
    """Raise PlanRefusedError for the field `name` unless the condition holds."""
    if not holds:
        raise PlanRefusedError(name, message)
