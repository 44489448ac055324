"""`nacre dead-letter`: what is named neither by id nor by kind is refused before anything is touched."""

import pytest
from typer.main import get_command

from app.cli.actions import dead_letters as action
from app.cli.tree import app
from services.domain.errors import InvalidValueError


@pytest.mark.parametrize("ids", [None, [1]])
def test_letters_are_named_by_id_or_by_kind_and_not_both(ids):
    asked = {"subscriber": None if ids is None else "resolve", "event_type": None, "limit": 1}
    with pytest.raises(InvalidValueError, match="either by ID, or with --subscriber"):
        action._chosen(None, ids, asked)


def test_every_act_has_its_command():
    group = get_command(app).commands["dead-letter"]
    assert set(group.commands) == {"list", "show", "replay", "discard"}
    assert next(one for one in group.commands["discard"].params if one.name == "reason").required
