"""The operator's acts on the ledger over HTTP, past configs, and entries by what they are about."""

import json

from services.domain.ledger_schema import EntryType
from services.operations import audit_log
from services.store import sql, tables


def test_an_operator_corrects_an_entry_and_nobody_else_can(world, problem_of):
    agent = world.agent("plain")
    body = {"reason": "the cause was the new source"}
    problem_of(agent.post("/ledger/0/corrections", body), 403, "forbidden")
    problem_of(world.operator.post("/ledger/999/corrections", body), 404, "not_found")
    index = world.operator.post("/ledger/0/corrections", body).json()["ledger_index"]
    (told,) = world.operator.get("/ledger/0").json()["corrections"]
    assert (told["index"], told["reason"], told["actor"]) == (index, body["reason"], "operator")
    (found,) = world.operator.get("/ledger", subject="entry:0").json()["items"]
    assert (found["index"], found["type"]) == (index, "CORRECTION")
    assert world.operator.get("/ledger", subject="proposal:99").json()["items"] == []
    problem_of(world.operator.get("/ledger", subject="<b>"), 422, "validation_failed")


def test_a_past_config_is_told_by_size_or_by_instant(world, problem_of):
    told = world.operator.get("/ledger/config", size=1).json()
    genesis = world.operator.get("/ledger/0").json()
    assert (told["size"], told["config"]) == (1, genesis["payload"]["config"])
    assert world.operator.get("/ledger/config", at=genesis["at"]).json()["config"] == told["config"]
    problem_of(world.operator.get("/ledger/config", size=999), 422, "invalid_value")
    problem_of(world.operator.get("/ledger/config", size=1, at=genesis["at"]), 422, "size_or_at")
    problem_of(world.operator.get("/ledger/config", at="2001-01-01"), 404, "not_found")
    problem_of(world.operator.get("/ledger/config", at="noon"), 422, "invalid_value")


def test_a_blob_is_json_and_never_a_page_and_records_stay(world, problem_of):
    page, raw = b"<script>alert(1)</script>", b"\xff\xfe"
    with world.platform.store.write(actor="system:test") as tx:
        for digest, kind, content in (("1" * 64, "reason", page), ("2" * 64, "records", raw)):
            sql.insert(tx, tables.blob, sha256=digest, kind=kind, content=content)
            facts = {"corrects": 0, "reason": "names a blob", f"{kind}_sha256": digest}
            audit_log.append(tx, EntryType.CORRECTION, facts)
    shown = world.operator.get(f"/ledger/blobs/{'1' * 64}")
    assert shown.headers["content-type"] == "application/json"
    assert (shown.json()["text"], shown.json()["base64"]) == (page.decode(), None)
    assert world.operator.get(f"/ledger/blobs/{'2' * 64}").json()["base64"] == "//4="
    path = f"/ledger/blobs/{'2' * 64}/erase"
    problem_of(world.operator.post(path, {"reason": "gone"}), 409, "blob_needed")
    problem_of(world.agent("plain").post(path, {"reason": "gone"}), 403, "forbidden")
    done = world.operator.post(f"/ledger/blobs/{'1' * 64}/erase", {"reason": "it named a person"})
    assert [one["kind"] for one in done.json()["erased"]] == ["reason"]
    gone = world.operator.get(f"/ledger/blobs/{'1' * 64}").json()
    assert (gone["text"], gone["base64"], bool(gone["erased_at"])) == (None, None, True)
    problem_of(world.operator.get(f"/ledger/blobs/{'3' * 64}"), 404, "not_found")
    problem_of(world.operator.get("/ledger/blobs/zz"), 422, "validation_failed")
    assert json.loads(world.operator.get("/ledger/checkpoints").content)["items"] == []
