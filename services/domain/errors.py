"""One base error with a stable code; every refusal of the core is named here.

Stands under all layers. `transient` says whether the same call may succeed later. HTTP status codes live in
one table at the API's edge, never here.
"""


class NacreError(Exception):
    """A refusal with a stable `code`, a sentence, and structured arguments."""

    code = "internal"
    transient = False

    def __init__(
        self, detail: str, *, field: str | None = None, code: str | None = None, **arguments: object
    ) -> None:
        """Take the sentence, the field that is wrong, and a `code` that says more than the class's."""
        super().__init__(detail)
        if code:
            self.code = code
        self.detail = detail
        self.field = field
        self.arguments = arguments


class InvalidValueError(NacreError):
    """A value is out of bounds, of the wrong type, or beyond what a rule allows."""

    code = "invalid_value"


class NotFoundError(NacreError):
    """The thing named does not exist."""

    code = "not_found"


class ForbiddenError(NacreError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class UnauthenticatedError(NacreError):
    """The caller is not known."""

    code = "unauthenticated"


class ConflictError(NacreError):
    """The thing is not in the state that this act needs; the message names both states."""

    code = "conflict"


class InsufficientFundsError(NacreError):
    """An account would fall under its floor."""

    code = "insufficient_funds"


class StaleTokenError(NacreError):
    """A completion came with a fencing token that is not the current one; it is kept, not accepted."""

    code = "stale_fencing_token"


class BusyError(NacreError):
    """The database gave this transaction up for another one; nothing was done, it may be tried again."""

    code = "busy"
    transient = True


class UnavailableError(NacreError):
    """The database cannot be reached, or was lost on the way: what was asked for may or may not be done."""

    code = "database_unavailable"
    transient = True


class BudgetExceededError(NacreError):
    """A job used up its time budget; its transaction is rolled back."""

    code = "budget_exceeded"
    transient = True


class LedgerBrokenError(NacreError):
    """The ledger does not verify; promotions stop until a person has looked."""

    code = "ledger_broken"
