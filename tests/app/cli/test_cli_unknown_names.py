"""What does not exist is refused by its name with what there is; a number beyond 64 bits is wrong input."""

import pytest
from typer.main import get_command

from app.cli.actions import reading
from app.cli.tree import app

BEYOND = 99_999_999_999_999_999_999
NUMBERS = [
    f"event list --after {BEYOND}",
    f"event list --lap {BEYOND}",
    f"ledger list --lap {BEYOND}",
    f"ledger show {BEYOND}",
    f"pattern list --agent {BEYOND}",
    f"webhook replay 1 {BEYOND} --reason x",
    f"webhook discard 1 {BEYOND} --reason x",
    f"dead-letter replay {BEYOND}",
    f"agent standing {BEYOND}",
    f"laps show {BEYOND}",
]
SHOWN = sorted(noun for noun, kind in reading.KINDS.items() if kind.get is not None)


@pytest.mark.parametrize("words", NUMBERS)
def test_numbers_beyond_64_bits_are_wrong_input(nacre, sqlite_database, words):
    ran = nacre(*words.split(), *sqlite_database)
    assert ran.code == 2, ran.err
    assert "less than or equal to 9223372036854775807" in ran.err
    assert len(ran.err.splitlines()) == 1


def parameters_of(command, path=()):
    """Yield every parameter of every command with the words that lead to it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from parameters_of(inner, (*path, name))
    if not hasattr(command, "commands"):
        for one in command.params:
            yield " ".join((*path, one.name)), one


def test_every_whole_number_of_every_command_has_bounds():
    numbers = {
        name: (one.min, one.max)
        for name, one in parameters_of(get_command(app))
        if getattr(getattr(one, "type_descriptor", None), "annotation", None) in (int, list[int])
    }
    assert len(numbers) > 50
    unbounded = [
        name for name, (low, high) in numbers.items() if low is None or high is None or high >= 2**63
    ]
    assert unbounded == []


@pytest.mark.parametrize("noun", SHOWN)
def test_a_thing_that_does_not_exist_is_named_with_the_command_that_lists_it(nacre, sqlite_database, noun):
    with pytest.raises(reading.NotFoundError, match=rf"^there is no {noun} 999; `nacre [a-z -]+` lists"):
        reading.show_item(noun, sqlite_database[1], 999, as_json=False)
    listing = reading.LISTED_BY[noun].split()[1:]
    assert nacre(*listing, *sqlite_database).code == 0


def test_no_dead_letter_is_one_line(nacre, sqlite_database):
    ran = nacre("dead-letter", "show", 1, *sqlite_database)
    assert (ran.code, ran.err) == (
        1,
        "nacre: there is no dead letter 1; `nacre dead-letter list` lists what there is (not_found)\n",
    )
