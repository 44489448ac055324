"""Names that look alike: what is left of a name when only the shapes of its letters count.

Stands under the registry of parameters, the registration of agents and the review gate, where one name must
not pass for another. It never tells that two names mean the same: alike is what a person would mix up.
"""

import re
import unicodedata
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
