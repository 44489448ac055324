"""Reports asked for by command, over HTTP and on pages: the same bytes, and clear words if asked wrongly."""

import json
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.cli import main
from app.reports.rendering import Format, rendered
from app.reports.serving import build_report_pages
from app.web.pages import build_pages
from services.domain.clock import from_rfc3339, to_rfc3339
from services.domain.report_lap import lap_report
from tests.app.api.conftest import world_over

pytestmark = pytest.mark.slow

DAY = "2026-01-01"


@pytest.fixture
def nacre(monkeypatch, capfdbinary, tmp_path):
    """Return a function that runs `nacre` and returns (exit code, output, what was said beside it)."""
    monkeypatch.setenv("NACRE_VAR", str(tmp_path))

    def run(*words):
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


@pytest.fixture(scope="module")
def export(turned, tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "ledger.ndjson"
    file.write_bytes(b"".join(turned.lines))
    return file


@pytest.fixture
def api(turned, tmp_path):
    made = world_over(turned.store.url, tmp_path)
    made.platform.store.clock.advance(3 * 86_400_000_000)
    yield made
    made.platform.close()


def test_commands_write_what_the_model_says(nacre, turned, export, tmp_path):
    expected = lap_report(turned.record, 1)
    for wanted in Format:
        if wanted is Format.PDF:
            continue
        code, out, _ = nacre("report", "lap", 1, "--database", turned.store.url, "--format", wanted)
        assert (code, out) == (0, rendered(expected, wanted))
    code, out, _ = nacre("report", "lap", 1, "--ledger", export, "--format", "json")
    offline = json.loads(out)
    assert code == 0
    assert offline.pop("verification").startswith("verified offline: ")
    live = json.loads(rendered(expected, Format.JSON))
    assert live.pop("verification") == ""
    assert offline == live
    file = tmp_path / "period.html"
    code, out, err = nacre(
        "report", "period", "--from", DAY, "--to", DAY, "--ledger", export, "--output", file
    )
    assert (code, out) == (0, b"")
    assert "the export ends before the period does" in err
    assert b"verified offline" in file.read_bytes()
    nowhere = tmp_path / "misspelt" / "lap.html"
    code, _, err = nacre("report", "lap", 1, "--ledger", export, "--output", nowhere)
    assert code != 0
    assert "there is no folder" in err
    assert not nowhere.parent.exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("lap", 99), "lap 99"),
        (("lap", 1, "--format", "docx"), "--format"),
        (("period", "--from", "yesterday", "--to", DAY), "--from"),
        (("period", "--from", DAY, "--to", "2026-13-01"), "--to"),
        (("period", "--from", "2026-01-02", "--to", DAY), "--to"),
        (("period", "--from", "2024-01-01", "--to", DAY), "366 days"),
    ],
)
def test_commands_say_what_is_wrong(nacre, export, words, named):
    code, out, err = nacre("report", *words, "--ledger", export)
    assert code != 0
    assert out == b""
    assert named in err


def test_http_answers_every_format_and_names_the_wrong_field(api, turned, typst):
    expected = lap_report(turned.record, 1)
    for wanted, media in (
        ("html", "text/html"), ("pdf", "application/pdf"), ("md", "text/markdown"), ("csv", "text/csv"),
        ("json", "application/json"),
    ):  # fmt: skip
        answer = api.operator.get("/reports/lap/1", format=wanted)
        assert answer.status_code == 200
        assert answer.content == rendered(expected, Format(wanted))
        assert answer.headers["content-type"].startswith(media)
        assert ("attachment" in answer.headers.get("content-disposition", "")) == (wanted != "html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    answer = api.operator.get("/reports/period", **{"from": DAY, "to": DAY, "format": "json"})
    assert answer.status_code == 200
    assert answer.json()["kind"] == "period"
    for query, field in (
        ({"from": "2026-01-02", "to": DAY}, "query.to"),
        ({"from": "never-ever!", "to": DAY}, "query.from"),
        ({"from": DAY, "to": "2099-01-01"}, "query.to"),
        ({"from": "2020-01-01", "to": DAY}, "query.to"),
        ({"from": "x", "to": DAY}, "query.from"),
        ({"from": DAY}, "query.to"),
        ({"from": DAY, "to": DAY, "format": "docx"}, "query.format"),
    ):
        answer = api.operator.get("/reports/period", **query)
        assert answer.status_code == 422, query
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["field"] == field, answer.json()
    short = api.operator.get("/reports/period", **{"from": "x", "to": DAY}).json()["detail"]
    assert "takes a UTC day (2026-01-31) or an instant" in short
    today = api.platform.store.clock.now_us()
    until = to_rfc3339(today)[:10]
    refused = api.operator.get("/reports/period", **{"from": until, "to": until})
    instant = re.search(r"use (\S+Z), which is now", refused.json()["detail"])[1]
    assert from_rfc3339(instant) <= today
    asked = {"from": DAY, "to": instant, "format": "json"}
    assert api.operator.get("/reports/period", **asked).status_code == 200
    assert api.operator.get("/reports/lap/99").status_code == 404
    assert api.nobody.get("/reports/lap/1").status_code == 401


def test_only_the_operator_keeps_schedules(sqlite_world_with_agent):
    api, agent = sqlite_world_with_agent
    body = {"name": "weekly", "every": "week", "formats": ["html", "csv"], "announced": True}
    assert agent.post("/report-schedules", body).status_code == 403
    made = api.operator.post("/report-schedules", body)
    assert made.status_code == 201, made.text
    assert made.json()["last_delivery"] is None
    assert api.operator.post("/report-schedules", body).json()["code"] == "schedule_exists"
    for wrong in ({"name": "../x"}, {"every": "hour"}, {"formats": []}, {"formats": ["docx"]}):
        refused = api.operator.post("/report-schedules", {**body, **wrong})
        assert refused.status_code == 422
        assert refused.json()["field"].startswith(f"body.{next(iter(wrong))}")
    assert [item["name"] for item in agent.get("/report-schedules").json()["items"]] == ["weekly"]
    assert agent.post("/report-schedules/weekly/run").status_code == 403
    assert api.operator.post("/report-schedules/weekly/run").status_code == 200
    assert agent.post("/report-schedules/weekly/remove").status_code == 403
    assert api.operator.post("/report-schedules/weekly/remove").json() == {"name": "weekly", "removed": True}
    assert api.operator.post("/report-schedules/weekly/run").status_code == 404


@pytest.fixture
def sqlite_world_with_agent(migrated_sqlite_url, tmp_path):
    made = world_over(migrated_sqlite_url, tmp_path)
    yield made, made.agent("reader")
    made.platform.close()


def test_pages_offer_reports_and_lead_to_the_ledger(turned):
    app = FastAPI(openapi_url=None)
    store = turned.store

    class Workings:
        """Nothing of the running platform is shown here."""

    app.include_router(build_pages(store.read, None, Workings()))
    app.include_router(build_report_pages(store.read))
    client = TestClient(app)
    page = client.get("/reports")
    assert page.status_code == 200
    assert 'href="/reports/lap/1"' in page.text
    assert "<script" not in page.text
    so_far = re.search(r'href="(/reports/period[^"]+)">today so far<', page.text)[1].replace("&amp;", "&")
    assert client.get(so_far).status_code == 200
    report = client.get("/reports/lap/1")
    assert report.status_code == 200
    assert 'href="/ledger/' in report.text
    assert "#entry-" not in report.text
    wrong = client.get("/reports/period", params={"from": "x", "to": "<b>"})
    assert wrong.status_code == 400
    assert "from takes a UTC day" in wrong.text
    assert client.get("/reports/lap/99").status_code == 404
    assert client.get("/reports/lap/1", params={"format": "<i>"}).status_code == 400
