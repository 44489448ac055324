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


UNKNOWN = [
    ("cron history --job nope", "there is no job 'nope'; there are "),
    ("cron history --job lease_expir", "did you mean 'lease_expiry'?"),
    ("dead-letter list --subscriber bogus", "there is no subscriber 'bogus'; there are "),
    ("dead-letter list --type bogus", "docs/events.md lists every type"),
    ("dead-letter replay --subscriber bogus", "there is no subscriber 'bogus'; there are "),
    ("dead-letter replay --type TaskEndet", "did you mean 'nacre.task.ended'"),
    ("dead-letter discard --subscriber bogus --reason x", "there is no subscriber 'bogus'"),
    (
        "observatory series task_success --by agent --key 999",
        "never had a window for the key '999'; it has none",
    ),
    ("observatory series task_success --from 2026-02-01 --to 2026-01-01", "--to must be later than --from"),
    ("observatory series task_success --from 2026-02-01 --to 2026-02-01", "is not after '2026-02-01'"),
    ("health --component nope", "there is no component 'nope'"),
    ("event list --type zzz", "docs/events.md"),
    ("webhook add https://nowhere.invalid/x --type nacre.ping", "cannot be asked for"),
    ("webhook add https://nowhere.invalid/x --type nacre.zzz", "docs/events.md lists every type"),
]


@pytest.mark.parametrize(("words", "said"), UNKNOWN)
def test_an_unknown_name_is_wrong_input_and_names_what_there_is(nacre, sqlite_database, words, said):
    ran = nacre(*words.split(), *sqlite_database)
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        "cron history --job lease_expiry",
        "dead-letter list --subscriber verify --type nacre.task.ended",
        "dead-letter list --type TaskEnded",
        "observatory series task_success --from 2026-01-01 --to 2026-02-01",
    ],
)
def test_a_name_that_exists_may_have_nothing_yet(nacre, sqlite_database, words):
    assert nacre(*words.split(), "--json", *sqlite_database).json["items"] == []


def test_deliveries_of_no_webhook_are_refused_as_the_webhook_is(nacre, sqlite_database):
    ran = nacre("webhook", "deliveries", 77, *sqlite_database)
    assert (ran.code, "there is no webhook 77; `nacre webhook list`" in ran.err) == (1, True)


def test_an_act_that_moves_nothing_says_so(nacre, sqlite_database):
    ran = nacre("dead-letter", "replay", "--subscriber", "verify", *sqlite_database)
    assert (ran.code, ran.out) == (0, "nothing to replay\n")
    ran = nacre("dead-letter", "discard", 3, 4, "--reason", "x", *sqlite_database)
    assert (ran.code, ran.out) == (0, "nothing to discard: not dead are 3, 4\n")
    ran = nacre("dead-letter", "replay", "--type", "nacre.task.ended", "--json", *sqlite_database)
    assert (ran.json["state"], ran.json["delivery_ids"]) == (None, [])
