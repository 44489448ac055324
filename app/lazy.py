"""The one lazy loader: resolves a dotted path `package.module:attribute` when somebody needs it, not
before. It lets registries and command lines name heavy leaves (scipy, scikit-learn, anthropic) without
importing them. It never caches, retries or guesses: a path that does not resolve is an error that names the
path.
"""

from importlib import import_module
from typing import Any


class LazyLoadError(LookupError):
    """A dotted path that names nothing that can be loaded."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot load {path!r}: {why}")
        self.path = path
        self.why = why


def load(path: str) -> Any:
    """Return the attribute that `package.module:attribute` names.

    Raises:
        LazyLoadError: the path has another form, the module cannot be imported or has no such attribute.
    """
    module_name, separator, attribute = path.partition(":")
    if not (separator and module_name and attribute):
        raise LazyLoadError(path, "a path has the form package.module:attribute")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise LazyLoadError(path, f"the module cannot be imported ({error})") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise LazyLoadError(path, f"module {module_name!r} has no {attribute!r}") from error
