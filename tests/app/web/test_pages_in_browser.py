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
    "/experiments",
    "/experiments/5",
    "/sandbox",
    "/parameters",
    "/parameters/research_synthesis.timeout_seconds",
    "/ledger",
    "/ledger/19",
    "/operations",
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
