"""Every operator page answers, is well-formed, needs no script, keeps to itself, and trusts no text."""

import re
from contextlib import ExitStack
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from app.web.pages import HERE, MENU, PAGES
from services.domain.errors import InvalidValueError
from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_server import sample_app

VOID = {"meta", "link", "input", "br", "hr", "img"}
TOP_LEVEL = [path for _, path in MENU]
SINGLE = [
    "/laps/3",
    "/tasks/11",
    "/tasks/12",
    "/tasks/13",
    "/tasks/14",
    "/tasks/41",
    "/agents/2",
    "/agents/4",
    "/agents/8",
    "/proposals/4",
    "/reviews/4",
    "/reviews/3",
    "/voters/4",
    "/voters/7",
    "/experiments/5",
    "/parameters/research_synthesis.timeout_seconds",
    "/parameters/research_synthesis.prompt",
    "/parameters/diff?from=1&to=20",
    "/ledger/0",
    "/ledger/19",
    "/metrics-board/task_success",
    "/metrics-board/task_duration",
    "/metrics-board/tasks_posted",
    "/metrics-board/time_to_promote",
]
ASKED = [
    "/?still=1",
    "/market?state=failed&type=monte_carlo&kind=user",
    "/agents?type=monte_carlo",
    "/tasks/11?replay=1",
    "/tasks/12?replay=1",
    "/ledger?type=BALLOT&lap=3&order=oldest",
    "/anomalies?state=closed",
    "/metrics-board/task_success?by=model",
    "/metrics-board/task_cost?by=task_type&key=research_synthesis&grain=day",
    "/operations?job=auto_accept_bids",
    "/proposals?state=rejected",
    "/experiments?state=running",
    "/experiments?kind=placebo",
]
ABSENT = ("/laps/3", "/agents/2", "/agents/4", "/agents/8", "/voters/4", "/voters/7")
"""What the empty market has not got."""
PAGES_SHOWN = [*TOP_LEVEL, *SINGLE, *ASKED]
MARKETS = {
    "finished": SampleMarket(),
    "running": SampleMarket(running=True),
    "hostile": SampleMarket(hostile=True),
    "empty": SampleMarket(empty=True),
}


class Outline(HTMLParser):
    """Collects elements, ids and text, and what is not closed as it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.faults, self.words = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> stays open" for name in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) != len(attrs):
            self.faults.append(f"<{tag}> repeats an attribute")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def clients():
    with ExitStack() as open_clients:
        yield {
            name: open_clients.enter_context(TestClient(sample_app(market)))
            for name, market in MARKETS.items()
        }


@pytest.mark.parametrize("path", PAGES_SHOWN)
@pytest.mark.parametrize("market", MARKETS)
def test_every_page_is_well_formed_and_self_contained(clients, market, path):
    answer = clients[market].get(path)
    assert answer.status_code == (404 if market == "empty" and path in ABSENT else 200)
    outline = Outline(answer.text)
    assert outline.faults == []
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert (
        len(outline.all("h1"))
        == len(outline.all("main"))
        == len(outline.all("title")) - len(outline.all("svg"))
        == 1
    )
    for tag, attributes in outline.elements:
        assert tag not in {"script", "iframe", "style", "object", "base"}
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("href", "src", "action"):
            assert re.match(r"[/#?](?!/)", attributes.get(name, "/")), attributes


def test_the_menu_leads_to_every_page_without_an_id():
    assert [page.path for page in PAGES if page.path.count("/") == 1] == TOP_LEVEL
    assert len({page.path for page in PAGES}) == len(PAGES)


def test_every_link_of_every_page_leads_to_a_page(clients):
    client = clients["finished"]
    links = (link for path in PAGES_SHOWN for link in Outline(client.get(path).text).all("a"))
    targets = {link["href"].split("#")[0] for link in links} - {""}
    assert len(targets) > 100
    ours = {one for one in targets if not one.startswith(("/api/", "/reports/"))}
    missing = {target for target in ours if client.get(target).status_code != 200}
    assert missing <= {
        "/laps/2",
        "/proposals/3",
        "/proposals/2",
        "/experiments/1",
        "/experiments/2",
        "/ledger/18",
        "/ledger/20",
    }  # not in the sample


@pytest.mark.parametrize("path", PAGES_SHOWN)
def test_headers_keep_scripts_frames_and_strangers_out(clients, path):
    headers = clients["finished"].get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/laps/3",
        "/tasks/11",
        "/agents",
        "/agents/8",
        "/anomalies",
        "/proposals/4",
        "/reviews/4",
        "/voters/4",
        "/ledger/19",
        "/operations",
        "/platform-health",
        "/metrics-board/task_success?by=model",
    ],
)
def test_what_agents_write_stays_text(clients, path):
    page = clients["hostile"].get(path).text
    outline = Outline(page)
    assert "<script>alert(1)</script>⟨U+202E⟩gnp.exe" in outline.text
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "{{7*7}}" in outline.text


@pytest.mark.parametrize(
    "path",
    [
        "/laps/99",
        "/tasks/0",
        "/tasks/99999999999999999999999",
        "/agents/99",
        "/agents/99999999999999999999999",
        "/proposals/77",
        "/reviews/77",
        "/voters/99",
        "/experiments/77",
        "/ledger/999999",
        "/parameters/no_such_setting",
        "/metrics-board/no_such_metric",
        "/parameters/%3Cscript%3E",
    ],
)
def test_an_unknown_id_gets_a_page_that_says_so(clients, path):
    answer = clients["finished"].get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Nothing here" in Outline(answer.text).text
    assert Outline(answer.text).faults == []
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_foreign_cursor_is_refused_in_words():
    class Strict(SampleMarket):
        def list_laps(self, tx, **asked):
            raise InvalidValueError("the cursor <b>cannot</b> be used", field="query.cursor")

    answer = TestClient(sample_app(Strict())).get("/laps?cursor=zzz")
    assert answer.status_code == 400
    assert "the cursor <b>cannot</b> be used" in Outline(answer.text).text
    assert Outline(answer.text).all("b")[0:] == [{}] * len(
        Outline(answer.text).all("time")
    )  # only the clock's


def test_the_loop_reloads_only_while_a_lap_runs_and_says_so(clients):
    def refresh(market, path):
        outline = Outline(clients[market].get(path).text)
        return [
            meta["content"] for meta in outline.all("meta") if meta.get("http-equiv") == "refresh"
        ], outline

    content, outline = refresh("running", "/")
    assert content == ["5"]
    assert "reloads itself every 5 seconds" in outline.text
    assert {"href": "/?still=1"} in outline.all("a")
    assert refresh("running", "/?still=1")[0] == []
    assert refresh("finished", "/")[0] == []
    assert refresh("running", "/laps/3")[0] == []


def test_pages_of_a_list_can_be_walked_to_the_end(clients):
    path, seen = "/market?kind=user", []
    while path:
        outline = Outline(clients["finished"].get(path).text)
        seen += [link["href"] for link in outline.all("a") if link["href"].startswith("/tasks/")]
        path = next((link["href"] for link in outline.all("a") if link.get("rel") == "next"), None)
    assert len(seen) == len(set(seen)) == 119


def test_a_filter_shows_only_what_was_asked_for(clients):
    text = Outline(clients["finished"].get("/ledger?type=BALLOT").text).all("a")
    entries = {link["href"] for link in text if link["href"].startswith("/ledger/")}
    assert entries == {f"/ledger/{index}" for index in (3, 4, 5, 13, 14, 15)}


def test_an_unknown_filter_is_no_filter(clients):
    everything = Outline(clients["finished"].get("/proposals").text).text
    assert Outline(clients["finished"].get("/proposals?state=dragon").text).text == everything


def test_a_lap_joins_all_its_hops(clients):
    outline = Outline(clients["finished"].get("/laps/3").text)
    links = {link["href"] for link in outline.all("a")}
    assert {
        "/tasks/41",
        "/proposals/4",
        "/experiments/5",
        "/ledger/19",
        "/anomalies#episode-6",
        "/parameters/research_synthesis.timeout_seconds",
        "/tasks/7",
    } <= links
    for words in (
        "41 of 63",
        "4 for and 1 against",
        "The new value is better",
        "0.9 → 1.8",
        "(read back)",
        "silent",
    ):
        assert words in outline.text


def test_salt_is_shown_once_the_experiment_ended(clients):
    assert "secret until its verdict" in Outline(clients["running"].get("/experiments/5").text).text
    assert "17" * 16 in Outline(clients["finished"].get("/experiments/5").text).text


def test_the_style_sheet_is_one_small_file_and_stays_at_home(clients):
    style = HERE / "static" / "nacre.css"
    assert [path.name for path in style.parent.iterdir() if path.suffix == ".css"] == ["nacre.css"]
    assert style.stat().st_size <= 20_000
    text = style.read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("{") == text.count("}")
    page = Outline(clients["finished"].get("/").text)
    (sheet,) = [link["href"] for link in page.all("link") if link["rel"] == "stylesheet"]
    answer = clients["finished"].get(sheet)
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.text == text


def test_every_class_of_the_pages_state_has_a_style():
    text = (HERE / "static" / "nacre.css").read_text(encoding="utf-8")
    for name in (
        "tone-good",
        "tone-bad",
        "tone-live",
        "tone-warn",
        "tone-plain",
        "chamber.running",
        "stage-failed",
    ):
        assert f".{name}" in text


def test_nothing_but_the_two_files_is_served(clients):
    assert clients["finished"].get("/static/nacre.svg").headers["content-type"] == "image/svg+xml"
    for name in ("pages.py", "..%2Fpages.py", "nacre.css.map"):
        assert clients["finished"].get(f"/static/{name}").status_code == 404


def test_pages_are_not_in_the_api_document():
    app = sample_app(SampleMarket())
    assert app.openapi()["paths"] == {}


def test_a_page_only_reads(clients):
    for path in TOP_LEVEL:
        assert clients["finished"].post(path).status_code == 405
        assert clients["finished"].head(path).status_code == 200
