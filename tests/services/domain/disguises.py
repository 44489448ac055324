"""Names and values in disguise, drawn from a seed: what a proposal must never get through with."""

ALIKE = {
    "a": "аɑαа",
    "c": "сϲ",
    "e": "еε",
    "o": "оο0ο",
    "p": "рρ",
    "i": "іιıl",
    "k": "κк",
    "s": "ѕꜱ",
    "t": "τт",
    "u": "υᴜ",
    "v": "νᴠ",
    "x": "хχ",
    "y": "у",
    "l": "ӏ1I",
    "n": "ηп",
    "m": "мᴍ",
    "d": "ԁᴅ",
    "h": "һ",
    "g": "ɡ",
    "r": "гʀ",
    "b": "вʙ",
    "w": "ԝᴡ",
}
UNSEEN = (
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u202e",
    "\u0301",
    "\u0336",
    "\u034f",
    "\ufe0f",
    "\u3164",
    "\u115f",
)
NUMBERS = (
    "５",
    "1e3",
    "1E3",
    "0x10",
    "1_000",
    "+5",
    " 5",
    "5 ",
    "5\n",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "٣",
    "५",
    "",
    "5;market.stake_percent=0",
    "5\nconsensus.minimum_ballots=1",
    "5,6",
    "[5]",
    '{"to":5}',
    "5.",
    ".5",
    "--5",
    "5\u200b",
    "½",
    "Ⅴ",
    "true",
    "1e400",
    "0b11",
    "5 -- x",
    "5%",
)


def _case(rng, name):
    made = "".join(one.upper() if rng.random() < 0.4 else one for one in name)
    return made if made != name else name.upper()


def _look_alike(rng, name):
    place = rng.choice([at for at, one in enumerate(name) if one in ALIKE])
    made = name[:place] + rng.choice(ALIKE[name[place]]) + name[place + 1 :]
    return made if made != name else name.upper()


def _full_width(_rng, name):
    return "".join(chr(ord(one) + 0xFEE0) for one in name)


def _unseen(rng, name):
    place = rng.randrange(1, len(name) + 1)
    return name[:place] + rng.choice(UNSEEN) + name[place:]


def _path(rng, name):
    first, second = name.split(".", 1)
    return rng.choice(
        [
            f"{first}/{second}",
            f"/{first}/{second}",
            f"{first}[{second}]",
            f"{first}['{second}']",
            f"{first}..{second}",
            f"{first}.{second}.",
            f".{name}",
            f"{name} ",
            f" {name}",
            f"{name}\n",
            f"$.{name}",
            f"{name}.value",
            f"parameters.{name}",
            f"{first}:{second}",
            f"{first}-{second.replace('_', '-')}",
            f"{first}%2E{second}",
            f"{first}__{second}",
            f'"{name}"',
            f"#/{first}/{second}",
            f"{first}.{second.replace('_', '')}",
            second,
            "".join(part.capitalize() for part in name.replace(".", "_").split("_")),
            f"./{name}",
            f"../{first}.{second}",
        ]
    )


def _batch(rng, name, other):
    glue = rng.choice([",", ", ", "\n", ";", " ", "|", "&", "\t", "+", "\x00"])
    names = [name, other]
    rng.shuffle(names)
    return rng.choice([glue.join(names), f"[{glue.join(names)}]", f"{name}=0{glue}{other}"])


def disguised(rng, name, other):
    """Return `name` in one or two disguises, never as it is; `other` may stand beside it."""
    kinds = [_case, _look_alike, _full_width, _unseen, _path, lambda r, n: _batch(r, n, other)]
    if rng.random() < 0.7:
        made = rng.choice(kinds)(rng, name)
    else:
        made = rng.choice([_unseen, _path])(rng, rng.choice([_case, _look_alike])(rng, name))
    return made if made != name else f"{name}."
