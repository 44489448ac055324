"""Names of parameters in disguise: which registered name a text would pass for.

Stands under the registry. A name is taken only letter by letter; what merely looks like one is refused, and
this says which one it resembles: by case, look-alike letters, separators, nesting, or several names in one.
It never turns a disguise into a name.
"""

from collections.abc import Iterable

from services.domain.lookalikes import skeleton


class Resemblance:
    """Tells which of some names a text looks like or holds."""

    def __init__(self, names: Iterable[str]) -> None:
        ordered = sorted(names, key=lambda name: (-len(name), name))
        self._whole = {skeleton(name): name for name in ordered}
        self._ends = {skeleton(name.partition(".")[2]): name for name in ordered if "." in name}

    def of(self, text: str) -> str | None:
        """Return the name that `text` looks like, has within it, or leaves the first part off; or None."""
        shape = skeleton(text)
        if not shape:
            return None
        exact = self._whole.get(shape) or self._ends.get(shape)
        return exact or next((name for whole, name in self._whole.items() if whole in shape), None)
