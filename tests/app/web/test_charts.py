"""The charts draw the data: every line, bar and interval stands where its figures say."""

import itertools
import math
from xml.etree import ElementTree as ET

import pytest

from app.web.charts import (
    Arm,
    PathPoint,
    Poster,
    RatePoint,
    Stage,
    WealthLeg,
    arms_bar,
    loop_ring,
    loop_strip,
    poster,
    rate_history,
    sparkline,
    tally_bar,
    wealth_legs,
    wealth_path,
)
from app.web.charts.wealth import DRAWN_POINTS
from tests.app.web.sample_evidence import wealth
from tests.app.web.sample_tasks import HOSTILE

PATH = [PathPoint(**point) for point in wealth()]
LINE = math.log(20)
NAMES = ("observe", "diagnose", "propose", "vote", "experiment", "learn", "promote")


def parsed(chart):
    """Return the SVG as a tree; it must be well-formed and say in words what it shows."""
    tree = ET.fromstring(str(chart))
    assert tree.tag == "svg"
    assert tree.get("role") == "img"
    assert [child.tag for child in tree[:2]] == ["title", "desc"]
    assert all(child.text for child in tree[:2])
    return tree


def of_class(tree, name):
    """Return the elements that carry all the words of `name` as classes."""
    return [
        element for element in tree.iter() if set(name.split()) <= set((element.get("class") or "").split())
    ]


def number(element, *names):
    return [float(element.get(name)) for name in names]


def drawn_points(element):
    return [tuple(float(part) for part in pair.split(",")) for pair in element.get("points").split()]


def wealth_scale(tree):
    """Return the map from log10 E to y, read off the grid lines and their labels."""
    lines = [number(line, "y1")[0] for line in of_class(tree, "grid")]
    names = [text.text for text in of_class(tree, "label") if text.get("text-anchor") == "end"]
    powers = [math.log10(float(name)) for name in names if name not in {"new", "old"}]
    (y1, y2), (p1, p2) = lines[:2], powers[:2]
    return lambda power: y1 + (power - p1) * (y2 - y1) / (p2 - p1)


def test_the_wealth_path_stands_where_its_figures_say():
    tree = parsed(wealth_path(PATH, LINE, title="Wealth"))
    up = wealth_scale(tree)
    points = drawn_points(of_class(tree, "path")[0])
    expected = [0.0, *(point.log_e / math.log(10) for point in PATH)]
    assert [y for _, y in points] == pytest.approx([up(power) for power in expected], abs=0.05)


def test_the_threshold_stands_at_one_over_alpha_and_the_path_ends_above_it():
    tree = parsed(wealth_path(PATH, LINE, title="Wealth"))
    threshold = of_class(tree, "threshold")[0]
    assert number(threshold, "y1") == number(threshold, "y2")
    assert number(threshold, "y1")[0] == pytest.approx(wealth_scale(tree)(math.log10(20)), abs=0.05)
    assert drawn_points(of_class(tree, "path")[0])[-1][1] <= number(threshold, "y1")[0]
    assert any(text.text == "1/α = 20" for text in of_class(tree, "label strong"))


def test_tasks_go_from_left_to_right_at_even_steps():
    points = drawn_points(of_class(parsed(wealth_path(PATH, LINE, title="Wealth")), "path")[0])
    steps = [right[0] - left[0] for left, right in itertools.pairwise(points)]
    assert steps == pytest.approx([steps[0]] * len(steps), abs=0.02)
    assert steps[0] > 0


def test_each_task_has_one_tick_in_the_row_of_its_arm():
    tree = parsed(wealth_path(PATH, LINE, title="Wealth"))
    for arm, kind in ((0, "control"), (1, "treatment")):
        assert len(of_class(tree, f"tick {kind}")) == sum(p.arm == arm and p.outcome == 1 for p in PATH)
    assert len(of_class(tree, "tick failure")) == sum(p.outcome == 0 for p in PATH)


def test_a_long_path_is_thinned_but_keeps_ends_and_extremes():
    long = [PathPoint(n, math.sin(n / 300) * 3 - (40 if n == 7777 else 0), n % 2, 1.0) for n in range(20_000)]
    points = drawn_points(of_class(parsed(wealth_path(long, LINE, title="Wealth")), "path")[0])
    assert len(points) <= DRAWN_POINTS + 2
    assert points == sorted(points)
    lowest = max(points, key=lambda point: point[1])
    share = (lowest[0] - points[0][0]) / (points[-1][0] - points[0][0])
    assert share == pytest.approx(7778 / 20_000, abs=1e-3)


def two_legs(harm=None):
    later = [PathPoint(200 + n, 3.0 + 0.05 * n, n % 2, 1.0, harm) for n in range(60)]
    first = [point._replace(harm_log=harm) for point in PATH]
    return [
        WealthLeg(first, LINE, "trial", 10),
        WealthLeg(later, math.log(746), "probation", is_shaded=True),
    ]


def test_each_leg_has_its_line_over_its_own_tasks_and_the_probation_is_shaded():
    tree = parsed(wealth_legs(two_legs(), title="Wealth"))
    first, second = of_class(tree, "threshold")
    assert number(first, "x2") == number(second, "x1")
    assert number(first, "y1") > number(second, "y1")
    shade, ramp = of_class(tree, "band probation")[0], of_class(tree, "band ramp")[0]
    assert number(shade, "x") == number(second, "x1")
    tasks = len(PATH) + 60
    full = number(second, "x2")[0] - number(first, "x1")[0]
    assert number(ramp, "width")[0] == pytest.approx(full * 10 / tasks, abs=0.02)
    assert len(drawn_points(of_class(tree, "path")[0])) == tasks + 1
    assert {"1/α = 20", "1/α = 746"} <= {text.text for text in of_class(tree, "label strong")}


def test_many_tasks_are_drawn_as_each_arms_success_so_far():
    long = [PathPoint(n, 0.001 * n, n % 2, float(n % 2 or n % 4 == 0)) for n in range(600)]
    tree = parsed(wealth_path(long, LINE, title="Wealth"))
    assert of_class(tree, "tick") == []
    (control,), (treatment,) = of_class(tree, "mean control"), of_class(tree, "mean treatment")
    bottom, top = (number(line, "y1")[0] for line in of_class(tree, "grid")[-2:])
    assert drawn_points(treatment)[-1][1] == pytest.approx(top, abs=0.05)
    assert drawn_points(control)[-1][1] == pytest.approx((top + bottom) / 2, abs=0.2)


def test_harm_is_drawn_leg_by_leg_and_breaks_below_its_panel():
    tree = parsed(wealth_legs(two_legs(harm=-60.0), title="Wealth"))
    harms = of_class(tree, "path harm")
    assert [len(drawn_points(line)) for line in harms] == [2, 2], "down to the floor, and no further"
    floor = max(y for line in harms for _, y in drawn_points(line))
    assert floor <= number(of_class(tree, "band probation")[0], "y")[0] + 198 + 0.05


def test_harm_that_fits_is_never_flat_on_the_floor():
    falling = [PathPoint(n, 0.01 * n, n % 2, 1.0, -0.05 * n) for n in range(100)]
    tree = parsed(wealth_legs([WealthLeg(falling, LINE, "trial")], title="Wealth"))
    (harm,) = of_class(tree, "path harm")
    heights = [y for _, y in drawn_points(harm)]
    assert len(heights) == 101
    assert all(later > earlier for earlier, later in itertools.pairwise(heights[1:]))


def test_a_line_of_harm_that_comes_back_is_drawn_again():
    logs = [0.0] * 10 + [-30.0] * 10 + [0.0] * 10
    path = [PathPoint(n, 0.0, n % 2, 1.0, log) for n, log in enumerate(logs)]
    tree = parsed(wealth_legs([WealthLeg(path, LINE, "trial")], title="Wealth"))
    assert [len(drawn_points(line)) for line in of_class(tree, "path harm")] == [12, 11]


@pytest.mark.parametrize(("harm", "entries"), [(None, 0), (-1.0, 1)])
def test_the_legend_names_the_line_of_harm_where_it_is_drawn(harm, entries):
    text = str(poster(Poster("Experiment 5", "Lead", two_legs(harm=harm), "success so far", True)))
    assert text.count("harm line, 20") == entries


def test_a_poster_stands_alone_in_light_and_dark():
    text = str(poster(Poster("Experiment 5", HOSTILE, two_legs(harm=-1.0), "success so far", True)))
    tree = ET.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    style = next(element for element in tree.iter() if element.tag.endswith("}style")).text
    assert "prefers-color-scheme: dark" in style
    assert "font-family" in style
    kinds = {element.get("class") for element in tree.iter() if element.get("class")}
    unstyled = {word for kind in kinds for word in kind.split() if f".{word}" not in style}
    assert unstyled <= {"treatment", "control", "strong"}
    assert not {"script", "foreignObject", "image"} & {element.tag.split("}")[1] for element in tree.iter()}
    assert "href" not in text
    assert "<script>" not in text
    assert "\u202e" not in text


def test_an_experiment_without_a_task_still_shows_its_line():
    tree = parsed(wealth_path([], LINE, title="Wealth"))
    assert len(of_class(tree, "threshold")) == 1
    assert "0 tasks" in tree[1].text


@pytest.mark.parametrize("log_e", [-900.0, 900.0])
def test_extreme_wealth_is_drawn_inside_the_picture(log_e):
    tree = parsed(wealth_path([PathPoint(0, log_e, 1, 1.0)], LINE, title="Wealth"))
    bottom = float(tree.get("viewBox").split()[3])
    assert all(0 <= y <= bottom for _, y in drawn_points(of_class(tree, "path")[0]))


def test_bars_and_intervals_have_the_length_of_their_shares():
    arms = [Arm("old: 0.9", 12, 20, 0.387, 0.781), Arm("new: 1.8", 19, 20, 0.764, 0.991)]
    tree = parsed(arms_bar(arms, title="Arms"))
    rail_x, rail_width = number(of_class(tree, "rail")[0], "x", "width")
    for arm, kind, row in ((arms[0], "control", 0), (arms[1], "treatment", 1)):
        x, width = number(of_class(tree, f"bar {kind}")[0], "x", "width")
        assert x == rail_x
        assert width / rail_width == pytest.approx(arm.successes / arm.resolved, abs=1e-3)
        left, right = number(of_class(tree, "interval")[3 * row], "x1", "x2")
        assert (left - rail_x) / rail_width == pytest.approx(arm.lower, abs=1e-3)
        assert (right - rail_x) / rail_width == pytest.approx(arm.upper, abs=1e-3)


def test_an_arm_without_a_resolved_task_has_no_bar():
    tree = parsed(arms_bar([Arm("old: 1", 0, 0, 0, 1), Arm("new: 2", 3, 3, 0.4, 1)], title="Arms"))
    assert len(of_class(tree, "bar")) == 1
    assert any("–" in (text.text or "") for text in of_class(tree, "label strong"))


@pytest.mark.parametrize(
    ("yes", "no", "abstain", "electorate"), [(4, 1, 0, 6), (3, 3, 0, 6), (51, 49, 10, 200)]
)
def test_the_tally_shows_share_and_line(yes, no, abstain, electorate):
    tree = parsed(tally_bar(yes, no, abstain, electorate, threshold_percent=51, title="Votes"))
    rail_x, rail_width = number(of_class(tree, "rail")[0], "x", "width")
    assert number(of_class(tree, "bar for")[0], "width")[0] / rail_width == pytest.approx(
        yes / (yes + no), abs=1e-3
    )
    assert (number(of_class(tree, "threshold")[0], "x1")[0] - rail_x) / rail_width == pytest.approx(
        0.51, abs=1e-4
    )


def test_every_seat_of_a_small_electorate_is_a_cell():
    tree = parsed(tally_bar(4, 1, 0, 6, threshold_percent=51, title="Votes"))
    counts = [len(of_class(tree, f"seat {kind}")) for kind in ("for", "against", "abstain", "silent")]
    assert counts == [4, 1, 0, 1]
    lefts = [number(seat, "x")[0] for seat in of_class(tree, "seat")]
    assert lefts == sorted(set(lefts))


def test_seats_of_a_large_electorate_are_bars_in_proportion():
    tree = parsed(tally_bar(50, 25, 5, 100, threshold_percent=51, title="Votes"))
    widths = [number(seat, "width")[0] for seat in of_class(tree, "seat")]
    assert [width / sum(widths) for width in widths] == pytest.approx([0.5, 0.25, 0.05, 0.2], abs=1e-3)


def test_no_vote_is_no_share():
    tree = parsed(tally_bar(0, 0, 0, 6, threshold_percent=51, title="Votes"))
    assert of_class(tree, "bar") == []
    assert len(of_class(tree, "threshold")) == 1


HOURS = [RatePoint(0, 9, 10), RatePoint(10, 0, 0), RatePoint(20, 5, 10), RatePoint(40, 10, 10)]


def test_an_idle_window_breaks_the_line_and_is_never_zero():
    tree = parsed(sparkline(HOURS, line_share=0.7, title="Success"))
    runs = [drawn_points(line) for line in of_class(tree, "path")]
    assert [len(run) for run in runs] == [1, 2]
    assert len(of_class(tree, "point")) == 1  # the lone window is a dot, else it could not be seen
    (y90,), (y50, y100) = [[y for _, y in run] for run in runs]
    assert y100 < y90 < y50
    (y70,) = {number(limit, "y1")[0] for limit in of_class(tree, "limit")}
    assert (y70 - y100) / (y50 - y100) == pytest.approx(0.3 / 0.5, abs=0.01)


def test_success_without_any_window_says_so():
    assert parsed(sparkline([], line_share=None, title="Success"))[1].text == "No ended task in this time."


def test_marks_stand_at_their_instants_and_only_inside_the_time_shown():
    marks = [(20, "promoted"), (400, "later")]
    tree = parsed(rate_history(HOURS, line_share=0.7, marks=marks, title="Success"))
    (mark,) = of_class(tree, "mark")
    points = [point for line in of_class(tree, "path") for point in drawn_points(line)]
    assert number(mark, "x1")[0] == pytest.approx(points[1][0], abs=0.02)
    assert [text.text for text in of_class(tree, "label") if text.text in {"promoted", "later"}] == [
        "promoted"
    ]


STATES = ("done", "done", "done", "failed", "running", "waiting", "waiting")


@pytest.mark.parametrize(
    "draw", [loop_strip, lambda stages, title: loop_ring(stages, centre=("lap 3", "x"), title=title)]
)
def test_the_loop_shows_seven_stages_with_their_states_in_order(draw):
    tree = parsed(draw([Stage(*pair) for pair in zip(NAMES, STATES, strict=True)], title="Loop"))
    chambers = of_class(tree, "chamber")
    assert [chamber.get("class").split()[1] for chamber in chambers] == list(STATES)
    signs = [sign.get("d") for sign in of_class(tree, "sign")]
    assert len(set(signs)) == 4  # each state also has a sign of its own: colour never stands alone
    assert all(f"{name}: {state}" in tree[1].text for name, state in zip(NAMES, STATES, strict=True))


def test_text_of_agents_stays_text_in_every_chart():
    charts = [
        wealth_path(PATH, LINE, title=HOSTILE),
        arms_bar([Arm(HOSTILE, 1, 2, 0, 1), Arm(HOSTILE, 1, 2, 0, 1)], title=HOSTILE),
        tally_bar(1, 1, 1, 5, threshold_percent=51, title=HOSTILE),
        sparkline(HOURS, line_share=None, title=HOSTILE),
        rate_history(HOURS, line_share=None, marks=[(20, HOSTILE)], title=HOSTILE),
        loop_ring([Stage(HOSTILE, "done")] * 7, centre=(HOSTILE, HOSTILE), title=HOSTILE),
    ]
    for chart in charts:
        tree = parsed(chart)
        assert not list(tree.iter("script"))
        assert tree[0].text.startswith("<script>alert(1)</script>⟨U+202E⟩")
        assert "\u202e" not in chart
        assert "\x00" not in chart
        assert not [element for element in tree.iter() if element.get("style") or element.get("onload")]
