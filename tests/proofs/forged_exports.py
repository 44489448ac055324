"""Departures from an honest export, byte by byte and line by line, and whether each is detected and named.

With the verifier key, and an older checkpoint that somebody kept; the file is all there is besides.
"""

import json

from app.cli.actions.auditing import check_signatures
from services import evolution_ledger
from services.domain.canonical import canonical_bytes
from services.domain.errors import NacreError
from services.domain.hash_chain import checkpoint_body, leaf_hash, root_of


def told(content, key, kept=()):
    """Return what is said against a file: the reason, empty where nothing is; and the entry that is named."""
    lines = content.splitlines(keepends=True)
    try:
        report = evolution_ledger.verify_export(lines, trusted_notes=list(kept))
        finding = check_signatures(lines[0], list(kept), key)
    except (NacreError, ValueError) as error:
        return f"no export: {error}", None
    if report.ok and finding.signature != "valid":
        return finding.reason or finding.signature, None
    return report.reason, report.first_error_index


def byte_departures(content, step=1):
    """Yield (place, what, changed file) for a flip, a deletion and an insertion at every `step`th byte."""
    for place in range(0, len(content), step):
        flipped = bytes([content[place] ^ 1 << place % 8])
        yield place, "flip", content[:place] + flipped + content[place + 1 :]
        yield place, "deletion", content[:place] + content[place + 1 :]
        yield place, "insertion", content[:place] + b"0" + content[place:]
        if content[place : place + 1] != content[place + 1 : place + 2] and place + 1 < len(content):
            pair = content[place : place + 2][::-1]
            yield place, "swap", content[:place] + pair + content[place + 2 :]


def line_departures(content):
    """Yield (line, what, changed file) for lines left out, twice, exchanged, and files cut or added to."""
    lines = content.splitlines(keepends=True)
    for place in range(len(lines)):
        before, this, after = lines[:place], lines[place], lines[place + 1 :]
        yield place, "left out", b"".join([*before, *after])
        yield place, "twice", b"".join([*before, this, this, *after])
        yield place, "cut before", b"".join(before)
        if after:
            yield place, "exchanged", b"".join([*before, after[0], this, *after[1:]])
            yield place, "moved to the end", b"".join([*before, *after, this])
    for more in (b"\n", b"{}\n", b"x", lines[0], b'{"kind":"note"}\n'):
        yield len(lines), "added", content + more
    for number, line in enumerate(lines):
        spaced = json.dumps(json.loads(line)).encode() + b"\n"
        yield number, "re-encoded", b"".join([*lines[:number], spaced, *lines[number + 1 :]])


def entry_of(content, place):
    """Return the index of the entry that a byte stands in, or None for another line."""
    line = content.count(b"\n", 0, place)
    raw = content.splitlines()[line]
    return line - 1 if raw.startswith(b'{"actor"') else None


def signed(leaves, blobs, origin, signer):
    """Return an export of these leaves with a claim that the key itself has signed: an operator's forgery."""
    root = root_of(map(leaf_hash, leaves))
    note = signer.sign_note(checkpoint_body(origin, len(leaves), root))
    claim = {"kind": "checkpoint", "origin": origin, "size": len(leaves), "root": root.hex(), "note": note}
    return canonical_bytes(claim) + b"\n" + b"".join(leaf + b"\n" for leaf in leaves) + b"".join(blobs)


def forks(leaves):
    """Yield, for each entry, the leaves of a ledger that tells it otherwise and chains on from there."""
    for place in range(len(leaves)):
        told_otherwise, hashes = list(leaves[:place]), [leaf_hash(leaf) for leaf in leaves[:place]]
        for index, leaf in enumerate(leaves[place:], place):
            entry = {**json.loads(leaf), "previous_root": root_of(hashes).hex()}
            if index == place:
                entry["actor"] = f"{entry['actor']}x"
            told_otherwise.append(canonical_bytes(entry))
            hashes.append(leaf_hash(told_otherwise[-1]))
        yield place, told_otherwise
