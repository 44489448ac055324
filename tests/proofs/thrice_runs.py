"""The two runs of a script, side by side."""

from tests.proofs.thrice import COPIES, play


def compared(urls, folder, *, writes):
    """Play the script once and three times over two fresh databases; fail where they end differently."""
    once, reference = play(urls[0], folder, writes=writes, copies=1)
    thrice, report = play(urls[1], folder, writes=writes, copies=COPIES)
    assert report["writes"] == reference["writes"]
    for table in sorted(once):
        assert thrice[table] == once[table], f"table {table} differs"
    assert once["task"], "something was posted"
    assert any(row["state"] == "settled" for row in once["task"]), "something was settled"
    return report
