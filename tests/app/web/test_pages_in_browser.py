"""The pages in headless Chromium, scripts off: nothing refused, nothing too wide, both themes."""

import pytest
from playwright.sync_api import sync_playwright

from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_server import sample_app, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATHS = (
    "/",
    "/laps",
    "/laps/3",
    "/market",
    "/tasks/11",
    "/tasks/12?replay=1",
    "/agents",
    "/agents/4",
    "/agents/8",
    "/anomalies",
    "/proposals",
    "/proposals/4",
    "/reviews",
    "/reviews/4",
    "/voters",
    "/voters/4",
    "/experiments",
    "/experiments/5",
    "/sandbox",
    "/parameters",
    "/parameters/research_synthesis.timeout_seconds",
    "/ledger",
    "/ledger/19",
    "/operations",
    "/operations?job=auto_accept_bids",
    "/metrics-board",
    "/metrics-board/task_success",
    "/metrics-board/task_wait",
    "/metrics-board/task_duration?by=model",
    "/platform-health",
)
NARROW = {"width": 380, "height": 800}


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=SWITCHES.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["finished", "hostile"])
def address(request):
    is_hostile = request.param == "hostile"
    with serving(sample_app(SampleMarket(hostile=is_hostile, running=is_hostile))) as url:
        yield url


@pytest.fixture
def page(browser):
    """A narrow page without scripts, with everything the browser complained about."""
    context = browser.new_context(viewport=NARROW, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("requestfailed", lambda request: page.complaints.append(f"{request.url} failed"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


def asked_for(page, url):
    """Open `url` and return the addresses it made the browser ask for."""
    seen = []
    page.on("request", lambda request: seen.append(request.url))
    assert page.goto(url).status == 200
    return seen


@pytest.mark.parametrize("path", PATHS)
def test_a_page_needs_no_script_and_fits_a_narrow_screen(page, address, path):
    seen = asked_for(page, f"{address}{path}{'&' if '?' in path else '?'}still=1")
    assert page.complaints == []
    assert all(url.startswith(f"{address}/") for url in seen)
    width = page.locator("html").evaluate("root => root.scrollWidth")
    assert width <= NARROW["width"]
    assert page.locator("h1").count() == 1
    box = page.locator("h1").bounding_box()
    assert box["x"] >= 0


def test_the_style_is_in_force_in_both_themes(browser, address):
    grounds = set()
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{address}/laps/3")
        colours = "body => [getComputedStyle(body).backgroundColor, getComputedStyle(body).color]"
        grounds.add(tuple(page.locator("body").evaluate(colours)))
        context.close()
    assert len(grounds) == 2
    assert all(ground != text for ground, text in grounds)


LUMINANCE = """
element => {
  const share = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const shine = text => {
    const [red, green, blue] = text.match(/[\\d.]+/g).map(Number).map(part => share(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  let ground = element;
  while (/, 0\\)$/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(shine).sort();
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}
"""
"""The WCAG contrast between an element's text and what stands behind it."""
READ_AT_NIGHT = (
    ".notice", ".notice a", ".notice time", ".notice b", ".badge", ".soft", ".none", "td", "td a", "td code",
    "h2", ".facts dt", ".big b", "a.figure", ".keys a", "summary", ".tone-warn",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_read_at_night_has_contrast(browser, address, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    pale, seen = [], set()
    for path in (
        "/?still=1",
        "/metrics-board",
        "/metrics-board/task_wait",
        "/anomalies",
        "/platform-health",
        "/operations",
    ):
        page.goto(f"{address}{path}")
        for name in READ_AT_NIGHT:
            for element in page.locator(name).all()[:40]:
                seen.add(name)
                contrast = element.evaluate(LUMINANCE)
                if contrast < 4.5:
                    pale.append((path, name, round(contrast, 2)))
    context.close()
    assert pale == []
    assert {".notice", ".badge", "td", ".soft", ".facts dt", ".keys a", "a.figure"} <= seen


def test_a_series_is_drawn_with_its_band_and_marks(page, address):
    page.goto(f"{address}/metrics-board/task_wait")
    for name in (".series .path", ".series .spread", ".series .gap", ".series .ring", ".series .expected"):
        box = page.locator(name).first.bounding_box()
        assert box["width"] > 0
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"]


def test_charts_are_drawn_with_size_and_colour(page, address):
    page.goto(f"{address}/experiments/5")
    for chart in page.locator("svg.chart").all():
        box = chart.bounding_box()
        assert box["width"] > 100
        assert box["height"] > 20
    stroke = page.locator(".wealth .path").evaluate("line => getComputedStyle(line).stroke")
    assert stroke.startswith("rgb")


def test_the_page_can_be_walked_by_keyboard(page, address):
    page.goto(f"{address}/?still=1")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the content"
