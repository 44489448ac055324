"""A new file beside the one that it will become: what is written there appears whole, or not at all.

Stands under everything that writes a file for people. It never opens a file that is there already and never
follows a link, so nobody who can write into a folder chooses what is written to.
"""

import os
import secrets
from pathlib import Path

FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def open_beside(path: Path, mode: int = 0o666) -> tuple[int, Path]:
    """Open a new file for a draft of `path`, under a name nobody can guess that ends with the process's id.

    Returns its descriptor and its path; `mode` is lessened by the umask. Raises OSError where it cannot.
    """
    draft = path.with_name(f".{path.name}.partial-{secrets.token_hex(8)}-{os.getpid()}")
    return os.open(draft, FLAGS, mode), draft
