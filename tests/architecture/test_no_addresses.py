"""The tree names no package registry and no folder of anybody's machine: it must build the same everywhere.

The names searched for are put together from parts, so that this file does not name them either.
"""

import re

from tests.architecture.source_tree import ROOT, files, plant

HOSTS = (
    ("pyp", "i.org"),
    ("pythonho", "sted.org"),
    ("registry.npm", "js"),
    ("deb.deb", "ian.org"),
    ("security.deb", "ian.org"),
    ("proxy.gol", "ang.org"),
)
HOMES = (("/ho", "me/"), ("/Us", "ers/"), ("/ro", "ot/"), ("/wo", "rk/"), ("/tmp/", "bash"), ("file:", "///"))
ADDRESS = re.compile(
    "|".join(
        [rf"\b{re.escape(''.join(host))}" for host in HOSTS]
        + [rf"(?<![\w.}}>-]){re.escape(''.join(home))}\w" for home in HOMES]
    )
)


def addresses(root):
    found = []
    for path in files(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture or an archive
        found += [
            f"{path.relative_to(root).as_posix()}:{number}: '{match[0]}…' is an address of one machine or "
            "registry; leave it to the user's configuration"
            for number, line in enumerate(lines, start=1)
            if (match := ADDRESS.search(line))
        ]
    return found


def test_the_tree_holds_no_addresses():
    assert addresses(ROOT) == []


def test_planted_addresses_are_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/host.py": f"x = 'https://{''.join(HOSTS[0])}/simple'\n",
            "app/home.py": f"\nx = '{''.join(HOMES[0])}ada/nacre'\n",
            "app/fine.py": "x = 'https://nacre.example/home/ada'\n",
        },
    )
    assert [line.split(": ")[0] for line in addresses(tmp_path)] == ["app/home.py:2", "app/host.py:1"]
