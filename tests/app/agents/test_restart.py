"""When to start again, when to wait, when to give up."""

import pytest

from app.agents.restart import Action, RestartPolicy, Run, crashes_in_a_row, next_action

POLICY = RestartPolicy()


def crashes(count: int, *, every: float = 20.0, lived: float = 1.0) -> list[Run]:
    return [Run(every * number, every * number + lived, 1) for number in range(count)]


def test_what_never_ran_is_started():
    assert next_action([], 0.0, POLICY) is Action.START


def test_what_lives_is_kept():
    assert next_action([*crashes(11), Run(900.0)], 900.1, POLICY) is Action.KEEP


def test_a_crash_waits_for_its_pause():
    history = [Run(0.0, 1.0, 1)]
    assert next_action(history, 1.1, POLICY) is Action.WAIT
    assert next_action(history, 1.25, POLICY) is Action.START


@pytest.mark.parametrize(("count", "pause"), [(1, 0.2), (2, 0.4), (3, 0.8), (6, 5.0), (11, 5.0)])
def test_pauses_double_up_to_the_longest(count, pause):
    assert POLICY.pause_seconds(count) == pytest.approx(pause)


def test_the_twelfth_crash_in_a_row_opens_the_breaker_and_the_eleventh_does_not():
    assert next_action(crashes(11), 1e9, POLICY) is Action.START
    assert next_action(crashes(12), 1e9, POLICY) is Action.GIVE_UP


def test_a_healthy_life_starts_the_count_anew():
    history = [*crashes(11), Run(1000.0, 1010.0, 1)]
    assert crashes_in_a_row(history, POLICY) == 1
    assert next_action(history, 1e9, POLICY) is Action.START
    assert crashes_in_a_row([*history, Run(1020.0, 1020.5, 0)], POLICY) == 2


def test_an_exit_without_an_error_counts_too():
    history = [Run(run.started_at, run.ended_at, 0) for run in crashes(12)]
    assert next_action(history, 1e9, POLICY) is Action.GIVE_UP
