"""Names of parameters in disguise: which registered name a text would pass for.

Stands under the registry. A name is taken only letter by letter; what merely looks like one is refused, and
this says which one it resembles: by case, look-alike letters, separators, nesting, or several names in one.
It never turns a disguise into a name.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from services.domain.parameter_kinds import is_unseen

LOOKED_AT: Final = 400
"""So many characters of a text are looked at; no name is nearly as long."""

_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_CAPITALS: Final = str.maketrans(
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϲς" + "АВЕЅІЈКМНОРСТУХҮҺԌԚԜӀ",
    "abezhikmnoptyxccc" + "abesijkmhopctyxyhgqwl",
)
_SMALL: Final = str.maketrans(
    "αβγεηικνορστυχω" + "аеорсухіјѕһԁԛԝӏкмтвнгпбг" + "օոսցհքցյ" + "ıɩɡɑøłđħŧƀɪꞮʟʀɢʙʜɴꜰꜱʏᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢ",
    "abyenlkvopotuxw" + "aeopcyxijshdqwlkmtbhrnbr" + "onughqgj" + "llgaoldhtbillrgbhnfsyacdejkmoptuvwz",
)
_ALIKE: Final = str.maketrans("015i|ǀ∣", "olsllll")


@lru_cache(maxsize=4_096)
def skeleton(text: str) -> str:
    """Return what is left of a name when only the shapes of its letters count: no case, marks, separators."""
    spelled = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text[:LOOKED_AT])
    shown = spelled.translate(_CAPITALS)
    folded = unicodedata.normalize("NFKC", shown).translate(_CAPITALS).casefold()
    bare = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", folded)
        if not unicodedata.combining(letter) and not is_unseen(letter)
    )
    alike = bare.translate(_SMALL).translate(_ALIKE)
    letters = "".join(letter for letter in alike if letter.isalnum())
    return letters.replace("rn", "m").replace("vv", "w")


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
