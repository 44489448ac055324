"""The lazy loader finds what a dotted path names and says clearly when it does not."""

import json

import pytest

from app.lazy import LazyLoadError, load


def test_a_path_is_resolved_to_its_attribute():
    assert load("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("json", "form package.module:attribute"),
        (":dumps", "form package.module:attribute"),
        ("json:", "form package.module:attribute"),
        ("no_such_module_anywhere:thing", "cannot be imported"),
        ("json:no_such_thing", "has no 'no_such_thing'"),
    ],
)
def test_a_path_that_names_nothing_is_an_error_with_the_path(path, why):
    with pytest.raises(LazyLoadError, match=why) as caught:
        load(path)
    assert caught.value.path == path
