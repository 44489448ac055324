"""`nacre experiment analyze` and `plan` answer in words and JSON, and name what is wrong with a file."""

import gzip
import io
import math
import subprocess
import sys
import time

import numpy as np
import pytest

from app.cli.actions.analysis import sparkline
from app.cli.actions.planning import span
from services.domain.sequential import BetPlan, Record, replay
from services.domain.stream import StreamRule, next_level

KEYS = [
    "e",
    "e_max",
    "crossed_at",
    "alpha",
    "estimate",
    "lower",
    "upper",
    "srm_e",
    "tasks",
    "verdict",
    "strata",
]
GOOD = "pi,arm,outcome\n0.5,1,1\n0.5,0,0\n"


def rows(seed, tasks, control, treatment):
    rng = np.random.default_rng(seed)
    arms = rng.integers(0, 2, tasks)
    outcomes = (rng.random(tasks) < np.where(arms == 1, treatment, control)).astype(int)
    return list(
        zip(arms.tolist(), outcomes.tolist(), rng.choice(["read", "write"], tasks).tolist(), strict=True)
    )


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file, text or bytes, and returns its path."""

    def write(content, name="tasks.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def analyze(nacre):
    """Return a function that runs `nacre experiment analyze`."""
    return lambda *words: nacre("experiment", "analyze", *words)


@pytest.fixture
def plan_of(nacre):
    """Return a function that runs `nacre experiment plan`."""
    return lambda *words: nacre("experiment", "plan", *words)


def table(records, arms=("0", "1")):
    lines = [f"0.5,{arms[arm]},{outcome},{stratum}" for arm, outcome, stratum in records]
    return "\n".join(["pi,arm,outcome,stratum", *lines]) + "\n"


def test_json_says_what_the_fold_says(analyze, file):
    records = rows(1, 300, 0.6, 0.9)
    found = analyze(file(table(records)), "--effect", 0.3, "--base", 0.6, "--json").json
    plan = BetPlan(effect=0.3, cap_tasks=300, base_rate=0.6, minimum_tasks=0)
    counted = [Record(i, f"u{i}", arm, 0.5, y, s) for i, (arm, y, s) in enumerate(records)]
    decided = replay(plan, counted)
    assert list(found)[: len(KEYS)] == KEYS
    assert found["verdict"] == decided.decision.verdict == "win"
    assert found["crossed_at"] == found["decided_at"] == len(decided.path) - 1
    assert math.log(found["e_max"]) == pytest.approx(found["log_e_max"])
    assert found["lower"] < 0.3 < found["upper"]
    assert [(s["stratum"], s["control_tasks"] + s["treatment_tasks"]) for s in found["strata"]] == [
        (name, sum(record[2] == name for record in records)) for name in dict.fromkeys(r[2] for r in records)
    ]
    assert (found["tasks"], found["units"], found["metric"]) == (300, 300, "success")


def test_words_come_first_then_figures_then_strata(analyze, file):
    ran = analyze(file(table(rows(1, 300, 0.6, 0.95))), "--margin", 0.1)
    assert ran.code == 0
    first, *others = ran.out.splitlines()
    assert first.startswith("Treatment is better: E reached 20 with task ")
    assert first.endswith("at most 5 % of useless changes ever get there.")
    names = [line.split("\t")[0] for line in others if "\t" in line]
    assert names[:4] == ["effect", "evidence", "path", "harm"]
    assert {"not worse", "shares", "control", "treatment", "stratum", "read", "write"} <= set(names)


@pytest.mark.parametrize(
    ("records", "options", "said"),
    [
        (rows(2, 600, 0.9, 0.5), (), "Treatment is worse: the evidence of harm reached 20 with task "),
        (rows(3, 600, 0.6, 0.6), ("--effect", 0.3), "The stated improvement of 0.3 is not there: "),
        (rows(4, 100, 0.6, 0.6), (), "Not decided yet: E is "),
        (rows(4, 100, 0.6, 0.6), ("--cap", 90), "Not decided within the cap of 90 tasks: "),
        ([(1, 1, "a"), (1, 0, "a")] * 80, (), "Nothing can be concluded: the arms do not have the shares"),
        (rows(1, 90, 0.1, 1.0), ("--minimum-tasks", 100), "a win needs at least 100 tasks"),
    ],
    ids=["loss", "futile", "undecided", "cap", "invalid", "minimum"],
)
def test_every_verdict_has_its_sentence_and_exits_with_0(analyze, file, records, options, said):
    ran = analyze(file(table(records)), *options)
    assert ran.code == 0
    assert said in ran.out.splitlines()[0]


def test_a_crossing_after_the_verdict_is_told_and_changes_nothing(analyze, file):
    records = rows(5, 300, 0.9, 0.4) + rows(6, 3_000, 0.3, 0.9)
    ran = analyze(file(table(records)))
    assert ran.out.startswith("Treatment is worse")
    assert "E for better also reached its mark, later (with task " in ran.out


def test_arms_by_name_a_mark_crlf_blank_lines_quotes_and_other_columns_are_fine(analyze, file):
    records = rows(1, 60, 0.4, 0.9)
    plain = analyze(file(table(records)), "--json").json
    text = table(records, arms=("Control", " treatment"))
    text = text.replace("pi,arm,outcome,stratum", ' PI ,"Arm",outcome,stratum,note').replace(
        "\n", ',"x, y"\r\n'
    )
    text = text.replace(',"x, y"\r\n', "\r\n", 1).rstrip() + "\r\n\r\n"
    varied = analyze(file("\ufeff" + text), "--json").json
    assert varied.pop("unused_columns") == ["note"]
    assert plain.pop("unused_columns") == []
    assert varied == plain
    assert "Columns not used: note." in analyze(file("\ufeff" + text)).out


def test_standard_input_and_one_row_are_enough(analyze, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"pi,arm,outcome\n0.5,1,1")))
    found = analyze("-", "--json").json
    assert (found["tasks"], found["verdict"], found["crossed_at"]) == (1, "undecided", None)
    assert found["control"] == {"tasks": 0, "units": 0, "mean": None, "median": None}


def test_a_unit_is_bet_on_once(analyze, file):
    lines = [f"0.5,{agent % 2},{(agent + turn) % 3 / 2},a{agent}" for turn in range(4) for agent in range(20)]
    ran = file("\n".join(["pi,arm,outcome,unit", *lines]))
    found = analyze(ran, "--json").json
    assert (found["tasks"], found["units"], found["control"]["units"]) == (80, 20, 10)
    assert "80 rows of 20 units: each unit is bet on once" in analyze(ran).out


@pytest.mark.parametrize("said", ["option", "column"])
def test_durations_and_costs_are_ranked_and_lower_is_better(analyze, file, said):
    rng = np.random.default_rng(3)
    arms = rng.integers(0, 2, 400)
    costs = rng.lognormal(10, 2, 400) * np.where(arms == 1, 0.1, 1.0)
    lines = [f"0.5,{arm},{cost:.3f},cost" for arm, cost in zip(arms, costs, strict=True)]
    text = "\n".join(["pi,arm,outcome,metric", *lines])
    path = file(text if said == "column" else text.replace(",cost", "").replace(",metric", ""))
    options = () if said == "column" else ("--metric", "cost")
    found = analyze(path, *options, "--json").json
    assert (found["metric"], found["verdict"]) == ("cost", "win")
    assert 0.0 < found["lower"] < found["upper"] <= 0.5
    assert found["treatment"]["median"] < found["control"]["median"]
    assert "P(treated is lower)" in analyze(path, *options).out


BAD_INPUT = [
    ("", (), "is empty; its first line must name the columns pi, arm and outcome"),
    ("\n\n", (), "is empty"),
    ("pi,arm,outcome\n", (), "has a header and no rows"),
    (
        "arm,outcome\n1,1\n",
        (),
        "line 1, column pi: the header must name pi, arm and outcome; pi is",
    ),
    ("pi,arm,arm,outcome\n", (), "line 1, column arm: stands in the header more than once"),
    ("pi;arm;outcome\n0,5;1;1\n", (), "line 1: is separated by semicolons; separate cells with commas"),
    ("pi\tarm\toutcome\n", (), "line 1: is separated by tabs"),
    ("0.5,1,1\n0.5,0,1\n", (), "line 1, column pi: the header must name"),
    (GOOD + "0.5,1\n", (), "line 4: has 2 cells where the header has 3"),
    (GOOD + "0,5,1,1\n", (), "line 4: has 4 cells"),
    (GOOD + "1,1,1\n", (), "line 4, column pi: must lie in [0.000001, 0.999999], got 1.0"),
    (GOOD + "0,1,1\n", (), "line 4, column pi: must lie in [0.000001, 0.999999], got 0.0"),
    (GOOD + "1e-320,1,1\n", (), "line 4, column pi: must lie in [0.000001, 0.999999], got 1e-320"),
    (GOOD + "0.9999999,1,1\n", (), "line 4, column pi: must lie in [0.000001, 0.999999], got 0.9999999"),
    (GOOD + "nan,1,1\n", (), "line 4, column pi: must lie in [0.000001, 0.999999], got nan"),
    (GOOD + ",1,1\n", (), "line 4, column pi: must be a number such as 0.5, got ''"),
    (GOOD + "0.5,2,1\n", (), "line 4, column arm: must be 0 or control, 1 or treatment, got '2'"),
    (GOOD + "0.5,B,1\n", (), "line 4, column arm: must be 0 or control, 1 or treatment, got 'B'"),
    (
        GOOD + "0.5,1,1.5\n",
        (),
        "line 4, column outcome: must lie in [0, 1], got 1.5; for a duration",
    ),
    (GOOD + "0.5,1,-0.1\n", (), "line 4, column outcome: must lie in [0, 1], got -0.1"),
    (GOOD + "0.5,1,nan\n", (), "line 4, column outcome: must lie in [0, 1], got nan"),
    (GOOD + "0.5,1,yes\n", (), "line 4, column outcome: must be a number such as 0.5, got 'yes'"),
    (GOOD + "0.5,1,-3\n", ("--metric", "duration"), "outcome: must be a finite number from 0, got -3.0"),
    (GOOD + "0.5,1,inf\n", ("--metric", "cost"), "outcome: must be a finite number from 0, got inf"),
    (
        "pi,arm,outcome,metric\n0.5,1,1,speed\n",
        (),
        "line 2, column metric: must be success, score",
    ),
    (
        "pi,arm,outcome,metric\n0.5,1,1,success\n0.5,1,1,cost\n",
        (),
        "line 3, column metric: is 'cost' where the rows before are success; analyse one kind at a time",
    ),
    (
        "pi,arm,outcome,metric\n0.5,1,1,success\n",
        ("--metric", "cost"),
        "line 2, column metric: is 'success' where --metric says cost",
    ),
    (
        "pi,arm,outcome,ordinal\n0.5,1,1,7\n0.5,0,1,8\n0.5,0,1,7\n",
        (),
        "line 4, column ordinal: 7 was counted already in line 2; each exposure counts once",
    ),
    (
        "pi,arm,outcome,ordinal\n0.5,1,1,7\n0.5,0,1,6\n",
        (),
        "line 3, column ordinal: 6 comes after 7; rows must be in order of assignment",
    ),
    (
        "pi,arm,outcome,ordinal\n0.5,1,1,1.5\n",
        (),
        "line 2, column ordinal: must be a whole number, got",
    ),
    ("pi,arm,outcome,unit\n0.5,1,1,\n", (), "line 2, column unit: must not be empty"),
    (
        "pi,arm,outcome,unit\n0.5,1,1,a\n0.5,0,1,b\n0.5,0,1,a\n",
        (),
        "line 4, column arm: must be the same in all rows of one unit; unit 'a' has two",
    ),
    (
        "pi,arm,outcome,unit\n0.5,1,1,a\n0.6,1,1,a\n",
        (),
        "line 3, column pi: must be the same in all rows of one unit; unit 'a' has two",
    ),
    (b"pi,arm,outcome\n0.5,1,1\n0.5,0,\xe9\n", (), "line 3: is not UTF-8 text (byte 0xe9)"),
    (GOOD.encode("utf-16"), (), "line 1: is UTF-16 text; save the file as UTF-8"),
    (gzip.compress(GOOD.encode(), mtime=0), (), "is not UTF-8 text"),
    (GOOD + '0.5,1,"1\n', (), "is not CSV"),
]


@pytest.mark.parametrize(("content", "options", "said"), BAD_INPUT)
def test_bad_input_is_named_with_its_line_its_column_and_what_is_right(analyze, file, content, options, said):
    ran = analyze(file(content), *options)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--effect", 0.2, "--base", 0.9),
            "--effect: 0.2 is too large: a base rate of 0.9",
        ),
        (("--effect", 0), "--effect: must lie in (0, 1]"),
        (("--effect", 1.5), "--effect: must lie in (0, 1]"),
        (("--effect", 0.6, "--metric", "cost"), "--effect: must lie in (0, 0.5]"),
        (("--base", 0.5, "--metric", "cost"), "--base: task_cost is decided by ranks"),
        (("--base", 2), "--base: must lie in [0, 1]"),
        (("--alpha", 0), "--alpha: must lie strictly between 0 and 1"),
        (("--margin", -1), "--margin: must lie in (0, 1]"),
        (("--cap", 10, "--minimum-tasks", 20), "--cap: 10 is below the minimum of 20 tasks"),
        (("--minimum-tasks", -1), "'--minimum-tasks': Input should be greater than or equal to 0"),
        (("--metric", "speed"), "'speed' is not one of 'success', 'score', 'duration', 'cost'"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_name(analyze, file, options, said):
    ran = analyze(file(GOOD), *options)
    assert ran.code == 2
    assert said in ran.err


def test_a_file_that_is_not_there_is_wrong_input(analyze, tmp_path):
    assert "cannot be read: No such file" in analyze(tmp_path / "none.csv").err
    assert analyze(tmp_path).code == 2


def test_a_wrong_row_far_down_is_named_by_its_own_line(analyze, file):
    lines = ["pi,arm,outcome,stratum", *['0.5,1,1,"two\nlines"'] * 30_000, "0.5,1,2,x"]
    ran = analyze(file("\n".join(lines)))
    assert "line 60002, column outcome: must lie in [0, 1], got 2.0" in ran.err


def test_an_overwhelming_effect_prints_as_finite_json(analyze, file):
    found = analyze(file(table(rows(1, 20_000, 0.1, 0.9))), "--json").json
    assert found["log_e"] > 1_000
    assert math.isfinite(found["e"])


def test_a_large_file_takes_seconds(analyze, file):
    path = file(table(rows(9, 100_000, 0.6, 0.62)))
    begun = time.process_time()
    assert analyze(path, "--effect", 0.02, "--json").json["tasks"] == 100_000
    assert time.process_time() - begun < 10.0  # a million rows took 4 s of processor time


def test_a_path_is_drawn_between_no_evidence_and_its_mark():
    drawn = sparkline(np.linspace(-1.0, 3.0, 1_000), 3.0)
    assert (len(drawn), drawn[0], drawn[-1]) == (48, "▁", "█")
    assert sparkline(np.array([0.0]), 3.0) == "▁"
    assert sparkline(np.full(10, 1.5), 3.0) == "▅" * 10


def test_a_cap_says_what_e_was_there_and_what_it_came_to_later(analyze, file):
    even = [(0, 1), (1, 1), (0, 0), (1, 0)] * 15
    better = [(n % 2, n % 2) for n in range(60)]
    path = file("pi,arm,outcome\n" + "".join(f"0.5,{arm},{won}\n" for arm, won in even + better))
    at_cap = analyze(path, "--cap", 60, "--json").json
    assert (at_cap["verdict"], at_cap["reason"], at_cap["decided_at"]) == ("inconclusive", "cap reached", 59)
    first = analyze(path, "--cap", 60).out.splitlines()[0]
    whole = file("pi,arm,outcome\n" + "".join(f"0.5,{arm},{won}\n" for arm, won in even), "early.csv")
    e = analyze(whole, "--json").json["e"]
    assert e < 1.0
    assert at_cap["e"] > 1e5
    assert first.startswith(f"Not decided within the cap of 60 tasks: E was {e:.3g} there, at its highest ")
    assert "; with all 120 tasks, which count no more, it is " in first


@pytest.mark.parametrize("share", ["0.000001", "0.999999"])
def test_the_outermost_shares_are_bet_on_without_a_warning(analyze, file, share, recwarn):
    rows_of_both = "".join(f"{share},{n % 2},{(n // 2) % 2}\n" for n in range(200))
    ran = analyze(file("pi,arm,outcome\n" + rows_of_both), "--effect", 0.1, "--margin", 0.05, "--json")
    assert ran.code == 0
    assert all(math.isfinite(ran.json[name]) for name in ("e", "estimate", "lower", "upper", "srm_e"))
    assert [str(warning.message) for warning in recwarn] == []


def test_planning_says_tasks_time_and_the_bound(plan_of):
    ran = plan_of("--base", 0.67, "--mde", 0.27, "--traffic", "500/day")
    assert ran.code == 0
    assert ran.out.startswith(
        "An improvement from 0.67 to 0.94 takes about 62 tasks to show and 129 more to confirm, 191 in all, "
        "30 hours at 500/day.\n"
    )
    assert "trial\t62 tasks, 24 hours (information bound 48); share 0.5, until E is 20\n" in ran.out
    assert "0.0628 nats in the trial, 0.0381 in probation" in ran.out
    plan = plan_of("--base", 0.67, "--mde", 0.27, "--traffic", "20 / hours", "--json").json
    assert (plan["tasks"], plan["bound_tasks"], plan["confirmed"]["tasks"]) == (62, 48, 191)
    assert plan["seconds"] == plan["minimum_cycle_seconds"] == 86_400
    assert plan["probation"]["seconds"] == pytest.approx(129 * 180)
    assert plan["confirmed"]["seconds"] == pytest.approx(86_400 + 129 * 180)
    slow = plan_of("--base", 0.67, "--mde", 0.27, "--traffic", "1/hour", "--json").json
    assert slow["seconds"] == pytest.approx(62 * 3_600)
    assert plan["tasks_per_day"] == pytest.approx(480)


def test_planning_within_a_cap_says_whether_it_fits_and_what_would(plan_of):
    small = plan_of("--base", 0.9, "--mde", 0.03, "--cap", 2_000, "--json").json
    assert small["fits_cap"] is False
    fitting = plan_of("--base", 0.9, "--mde", small["smallest_mde"], "--cap", 2_000, "--json")
    assert fitting.json["fits_cap"] is True
    assert "does not fit: it would be refused" in plan_of("--base", 0.9, "--mde", 0.03, "--cap", 2_000).out


def test_planning_confirms_at_the_first_level_of_a_new_stream_unless_told(plan_of):
    asked = ("--base", 0.67, "--mde", 0.27)
    level = next_level(StreamRule.LORD, 0.05, 1, [])
    assert plan_of(*asked, "--json").json["probation"]["alpha"] == level == pytest.approx(0.00116, abs=1e-5)
    assert "level\t0.00116: the first of a new stream" in plan_of(*asked).out
    told = plan_of(*asked, "--confirm-alpha", 0.002)
    assert "level\t0.002, as given" in told.out
    assert plan_of(*asked, "--confirm-alpha", 0.002, "--json").json["probation"]["tasks"] == 110


def test_planning_says_what_probation_would_refuse(plan_of):
    small = plan_of("--base", 0.9, "--mde", 0.03, "--cap", 3_000)
    assert "It would be refused: probation ends after 3,000 tasks." in small.out
    found = plan_of("--base", 0.9, "--mde", 0.03, "--json").json
    assert found["probation"]["tasks"] > found["probation"]["cap_tasks"] == 3_000
    assert found["probation"]["fits_cap"] is False
    large = plan_of("--base", 0.67, "--mde", 0.27)
    assert "refused" not in large.out
    assert plan_of("--base", 0.67, "--mde", 0.27, "--json").json["probation"]["fits_cap"] is True


def test_planning_for_a_cost_needs_no_base(plan_of):
    plan = plan_of("--metric", "cost", "--mde", 0.1, "--minimum-tasks", 400, "--json").json
    assert (plan["base"], plan["bound_tasks"], plan["tasks"], plan["seconds"]) == (None, 200, 400, None)
    assert plan_of("--metric", "cost", "--mde", 0.1).out.startswith("To be lower with a chance")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--base", 0.9, "--mde", 0.2), "--mde: 0.2 is too large: a base of 0.9 leaves room for 0.1"),
        (("--base", 0.5, "--mde", 0), "--mde: must be positive"),
        (("--base", 0.5, "--mde", -0.1), "--mde: must be positive"),
        (("--base", 0.5, "--mde", 0.1, "--cap", 10), "--cap: 10 is below the minimum of 20 tasks"),
        (("--base", 0.5, "--mde", 0.1, "--minimum-tasks", -1), "should be greater than or equal to 0"),
        (("--base", 0.5, "--mde", 0.1, "--traffic", "500"), "--traffic must be like 500/day, 20/hour"),
        (("--base", 0.5, "--mde", 0.1, "--traffic", "0/day"), "--traffic must be like"),
        (("--base", 0.5, "--mde", 0.1, "--traffic", "5/fortnight"), "--traffic must be like"),
        (("--base", 0.5, "--mde", 0.1, "--alpha", 1), "--alpha: must lie strictly between 0 and 1"),
        (("--base", 0.5, "--mde", 0.1, "--share", 0), "--share: must lie strictly between 0 and 1"),
        (("--base", 0.5, "--mde", 0.1, "--confirm-alpha", 0), "--confirm-alpha: must lie strictly"),
        (("--base", 0.5, "--mde", 0.1, "--confirm-share", 1), "--confirm-share: must lie strictly"),
        (("--mde", 0.1), "--base: task_success needs the rate now"),
        (("--base", 0.5, "--mde", 0.1, "--metric", "cost"), "--base: task_cost is decided by ranks"),
        (("--base", 0.5), "Missing option '--mde'"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_by_name(plan_of, options, said):
    ran = plan_of(*options)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "5 seconds"), (130, "2.2 minutes"), (9_000, "2.5 hours"), (1e6, "12 days"), (3e6, "5 weeks")],
)
def test_a_span_is_told_in_the_unit_that_suits_it(seconds, said):
    assert span(seconds) == said


def test_the_group_keeps_its_place_and_loads_no_numbers_for_its_help():
    program = (
        "import sys; from app.cli import main; main(['experiment', '--help']); print('numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    words = [line.split()[0] for line in run.stdout.partition("Commands:")[2].splitlines() if line.strip()]
    assert words[:4] == ["list", "show", "analyze", "plan"]
    assert run.stdout.splitlines()[-1] == "False"


def test_an_effect_needs_both_arms_and_one_task_is_no_tasks(analyze, file):
    path = file("pi,arm,outcome\n0.5,1,1\n")
    said = analyze(path).out
    assert "effect\t– treatment - control, between -1 and +1" in said
    assert "treatment\t1 task, mean 1\n" in said
    assert analyze(path, "--json").json["estimate"] is None


def test_a_refused_option_names_what_was_given(analyze, plan_of, file):
    assert "--alpha: must lie strictly between 0 and 1, got 2" in analyze(file(GOOD), "--alpha", 2).err
    refused = plan_of("--base", 0.5, "--mde", 0.1, "--confirm-share", 1.5)
    assert "--confirm-share: must lie strictly between 0 and 1, got 1.5" in refused.err
