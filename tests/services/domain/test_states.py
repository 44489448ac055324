"""The lifecycles: every state says what it means, and those that are final say so."""

import ast
import inspect
import itertools

import pytest

from services.domain import states
from services.domain.states import TASK_ENDS, AttemptState, DeliveryState, EscrowState, TaskState

LIFECYCLES = [kind for _, kind in inspect.getmembers(states, inspect.isclass) if kind is not states.StrEnum]


def notes(kind):
    """Return the docstring under each member of an enum, which Python itself throws away."""
    body = ast.parse(inspect.getsource(kind)).body[0].body
    pairs = itertools.pairwise(body)
    return {
        name.targets[0].id: note.value.value
        for name, note in pairs
        if isinstance(name, ast.Assign) and isinstance(note, ast.Expr)
    }


@pytest.mark.parametrize("kind", LIFECYCLES, ids=lambda kind: kind.__name__)
def test_every_state_says_what_it_means(kind):
    assert set(notes(kind)) == {member.name for member in kind}


@pytest.mark.parametrize("kind", LIFECYCLES, ids=lambda kind: kind.__name__)
def test_values_fit_the_columns_and_are_spelt_like_their_names(kind):
    for member in kind:
        assert member.value == member.name.lower()
        assert len(member.value) <= 64


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        (TaskState, set(TASK_ENDS)),
        (AttemptState, {AttemptState.VERIFIED, AttemptState.FAILED, AttemptState.LAPSED}),
        (EscrowState, {EscrowState.PAID, EscrowState.RETURNED, EscrowState.FORFEITED}),
        (DeliveryState, {DeliveryState.DELIVERED, DeliveryState.DISCARDED}),
    ],
)
def test_final_states_are_called_final(kind, ends):
    final = {kind[name] for name, note in notes(kind).items() if note.endswith("Final.")}
    assert final == ends
