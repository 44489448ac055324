"""The proofs of the ledger at any length: the quick ones of the suite and the long ones of `make prove`."""

from services import evolution_ledger
from tests.proofs import config_histories, killed_appenders
from tests.proofs.forged_exports import byte_departures, entry_of, forks, line_departures, signed, told


def every_departure(lab, *, step):
    """Depart from a real export in every way; return figures, fail for one that passes or is not named."""
    proposal_id = lab.file()
    for voter in lab.voters[:2]:
        lab.cast(proposal_id, voter, reason=f"{voter} says so")
    with lab.write("operator") as tx:
        evolution_ledger.correct(tx, 0, "a remark")
    signer = lab.platform.signer
    content, key = b"".join(lab.export()), signer.verifier_key
    with lab.read() as tx:
        kept = [str(evolution_ledger.checkpoint(tx, signer)["note"])]
    assert told(content, key, kept) == ("", None)
    count = 0
    for place, what, changed in byte_departures(content, step):
        reason, index = told(changed, key)
        assert reason, f"{what} at byte {place} passes"
        entry = entry_of(content, place)
        is_joined = content[place : place + 1] == b"\n"  # the line after it, perhaps a blob, is gone too
        if entry is not None and what == "flip" and not is_joined:
            assert index in (entry, entry + 1), f"{what} at byte {place} in entry {entry}: {index}, {reason}"
        count += 1
    for line, what, changed in line_departures(content):
        assert changed == content or told(changed, key)[0], f"line {line} {what} passes"
        count += 1
    lines = content.splitlines(keepends=True)
    leaves = [line.removesuffix(b"\n") for line in lines if line.startswith(b'{"actor"')]
    blobs, origin = lines[len(leaves) + 1 :], kept[0].partition("\n")[0]
    for size in range(1, len(leaves)):
        named = {line for line in blobs if line.split(b'"')[-2] in b"".join(leaves[:size])}
        shorter = signed(leaves[:size], sorted(named, key=lambda line: line.split(b'"')[-2]), origin, signer)
        assert told(shorter, key) == ("", None), f"a prefix of {size} entries is a ledger"
        reason, index = told(shorter, key, kept)
        assert (index, "the ledger ends here" in reason) == (size, True), reason
    for place, forked in forks(leaves):
        reason, index = told(signed(forked, blobs, origin, signer), key, kept)
        assert reason, f"a fork from entry {place} passes"
        assert index is not None, reason
        count += 1
    return {"bytes": len(content), "entries": len(leaves), "departures": count + len(leaves) - 1}


def kills_of_appenders(platform, *, kills, seed):
    """Kill so many appenders, one after the other; every time what they leave must be a valid prefix."""
    url = platform.settings.database_url
    committed, wrong = killed_appenders.what_is_wrong(url)
    assert wrong == []
    begun = committed
    for number in range(kills):
        said = killed_appenders.killed_once(url, seed + number)
        is_looked_at = number % 10 == 0 or number == kills - 1
        if is_looked_at:
            entries, wrong = killed_appenders.what_is_wrong(url)
            assert wrong == [], f"after kill {number}: {wrong}"
            assert entries >= committed + said, f"kill {number} lost what was committed"
        committed += said
    assert entries >= begun + kills, "every appender had committed something"
    return {"kills": kills, "seed": seed, "entries": entries, "said": committed}


def folded_histories(platform, *, histories, seed):
    """Play so many random histories; at every size the fold of the entries must be the config of then."""
    acts, sizes = {}, 0
    for number in range(histories):
        differing, counts, compared = config_histories.played(platform, seed * 1_000_003 + number)
        assert differing == [], f"history {number}: the fold differs at sizes {differing}"
        sizes += compared
        for kind, count in counts.items():
            acts[kind] = acts.get(kind, 0) + count
    assert all(count > histories for count in acts.values()), acts
    return {"histories": histories, "seed": seed, "sizes": sizes, "acts": acts}
