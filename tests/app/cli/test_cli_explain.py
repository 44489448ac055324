"""`nacre observatory explain` names the combination, its evidence by line, and what is wrong with a table."""

import gzip
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.architecture.source_tree import ROOT

OPTIONS = ("--failures", "failed", "--attempts", "calls", "--dimensions", "agent,model,zone")
PAST = ("--baseline-failures", "failed_before", "--baseline-attempts", "calls_before")
HEADER = "agent,model,zone,failed,calls,failed_before,calls_before"
GOOD = f"{HEADER}\nada,small,north,4,80,8,160\nbob,small,north,40,80,8,160\n"


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file, text or bytes, and returns its path."""

    def write(content, name="calls.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def explain(nacre):
    """Return a function that runs `nacre observatory explain` over the usual columns."""
    return lambda path, *words: nacre("observatory", "explain", path, *OPTIONS, *words)


def incident(seed=1, separator=","):
    """Bob's calls with the large model fail; every other call fails one time in twenty."""
    rng = np.random.default_rng(seed)
    lines = [HEADER.replace(",", separator)]
    for agent in ("ada", "bob", "cyd", "dan"):
        for model in ("small", "large", "tiny"):
            for zone in ("north", "south"):
                calls = int(rng.poisson(200))
                failed = rng.binomial(calls, 0.4 if (agent, model) == ("bob", "large") else 0.05)
                row = (agent, model, zone, failed, calls, rng.binomial(2 * calls, 0.05), 2 * calls)
                lines.append(separator.join(map(str, row)))
    return "\n".join(lines) + "\n"


def test_the_planted_combination_comes_first_with_the_lines_that_show_it(explain, file):
    found = explain(file(incident()), *PAST, "--json").json
    first = found["suspects"][0]
    assert first["dimensions"] == {"agent": "bob", "model": "large"}
    assert first["score"] == pytest.approx(first["coverage"] ** 0.2 * first["purity"] ** 0.8)
    assert (found["rows"], found["leaves"], first["rows"], len(found["suspects"])) == (24, 24, 2, 3)
    lines = incident().splitlines()
    for one in first["evidence"]:
        agent, model, zone, failed, calls, *_ = lines[one["line"] - 1].split(",")
        assert one["dimensions"] == {"agent": agent, "model": model, "zone": zone}
        assert (one["failures"], one["attempts"]) == (int(failed), int(calls))
    assert {one["dimensions"]["agent"] for one in first["evidence"]} == {"bob"}
    assert first["beyond"] == pytest.approx(first["failures"] - first["expected_failures"])


@pytest.mark.parametrize("words", [PAST, ()], ids=["baseline", "no baseline"])
def test_a_reader_can_recompute_coverage_and_purity(explain, file, words):
    found = explain(file(incident()), *words, "--json").json
    expected = found["expected_failures"]
    if expected is None:
        assert found["expected_scale"] == pytest.approx(0.5)
    else:
        assert found["expected_scale"] == pytest.approx(min(1.0, 0.5 * found["failures"] / expected))
        assert found["excess_failures"] == pytest.approx(
            found["failures"] - found["expected_scale"] * expected
        )
    assert found["suspects"]
    for one in found["suspects"]:
        excess = one["failures"] - found["expected_scale"] * one["expected_failures"]
        assert one["excess"] == pytest.approx(excess)
        assert one["coverage"] == pytest.approx(min(1.0, excess / found["excess_failures"]))
        inside = excess / one["attempts"]
        rest = max(1, found["failures"] - one["failures"]) / (found["attempts"] - one["attempts"])
        assert one["purity"] == pytest.approx(inside / (inside + rest))


def test_words_then_figures_then_the_table(explain, file):
    ran = explain(file(incident()), *PAST)
    first, *others = ran.out.splitlines()
    assert first.startswith("The failures sit in agent=bob, model=large: ")
    assert "were expected" in first
    table = [line.split("\t") for line in others]
    columns = table.index(next(row for row in table if row[0] == "rank"))
    named = dict(zip(table[columns], table[columns + 1], strict=True))
    assert named["combination"] == "agent=bob, model=large"
    assert named["coverage"].endswith(" %")
    assert named["evidence"].startswith("line ")
    assert " of " in named["excess"]


def test_a_baseline_in_a_file_says_the_same_as_one_in_columns(explain, file):
    rows = [line.split(",") for line in incident().splitlines()[1:]]
    past = "\n".join(["agent,model,zone,failed,calls", *(",".join([*r[:3], r[5], r[6]]) for r in rows)])
    with_columns = explain(file(incident()), *PAST, "--json").json
    with_file = explain(file(incident()), "--baseline", file(past, "week.csv"), "--json").json
    assert with_file == with_columns


def test_without_a_baseline_the_table_is_compared_with_itself(explain, file):
    ran = explain(file(incident()))
    assert "No baseline is known" in ran.out
    found = explain(file(incident()), "--json").json
    assert found["suspects"][0]["dimensions"] == {"agent": "bob", "model": "large"}
    assert found["expected_failures"] is None


def test_a_leaf_without_a_past_is_told_and_takes_the_rate_of_the_whole(explain, file):
    ran = explain(file(GOOD + "cyd,small,north,5,80,,\n"), *PAST)
    assert ran.code == 0
    assert "1 combination without a baseline" in ran.err


def test_rows_of_the_same_values_are_added_up(explain, file):
    lines = incident().splitlines()
    found = explain(file("\n".join([lines[0], *lines[1:], *lines[1:]])), *PAST, "--json").json
    once = explain(file(incident()), *PAST, "--json").json
    assert (found["rows"], found["leaves"], found["failures"]) == (48, 24, 2 * once["failures"])
    assert found["suspects"][0]["evidence"][0]["rows"] == 2


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_marks_and_line_ends_are_found_out(explain, file, separator):
    plain = explain(file(incident()), *PAST, "--json").json
    text = "\ufeff" + incident(separator=separator).replace("\n", "\r\n") + "\r\n" + separator * 6 + "\r\n"
    assert explain(file(text), *PAST, "--json").json == plain


def test_columns_are_found_in_any_order_and_any_case_among_others(explain, file):
    lines = [",".join(["note", *reversed(line.split(","))]) for line in incident().splitlines()]
    header = lines[0].replace("agent", "Agent").replace("failed,", "FAILED,")
    found = explain(file("\n".join([header, *lines[1:]])), *PAST, "--json").json
    assert found == explain(file(incident()), *PAST, "--json").json


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{HEADER}\nada,s,n,0,80,0,9\nbob,s,n,0,80,0,9\n", "No failures in 160 attempts"),
        (f"{HEADER}\nada,s,n,4,80,0,9\n", "Nothing stands out"),
        (f"{HEADER}\nada,s,n,4,80,80,80\nbob,s,n,1,80,80,80\n", "no more failures than the"),
        (f"{HEADER}\nada,s,n,1,80,1,80\n,s,n,60,80,1,80\nbob,s,n,1,80,1,80\n", "agent=(empty)"),
        (f"{HEADER}\nada,s,n,0.5,80.5,1,80\nbob,s,n,60,80,1,80\n", "agent=bob"),
        (f"{HEADER}\nada,s,n,0,0,0,0\nbob,s,n,60,80,1,80\ncyd,s,n,1,80,1,80\n", "agent=bob"),
    ],
    ids=["no failures", "one row", "no excess", "empty value", "fractions", "no attempts in a row"],
)
def test_what_can_be_counted_is_gone_on_with(explain, file, content, said):
    ran = explain(file(content), *PAST)
    assert ran.code == 0, ran.err
    assert said in ran.out


BAD_INPUT = [
    ("", "is empty; its first line must name the columns"),
    ("\n\n", "is empty"),
    (HEADER + "\n", "has a header and no rows"),
    ("agnet,model,zone,failed,calls\n1,2,3,4,5\n", "--dimensions: "),
    ("agnet,model,zone,failed,calls\n1,2,3,4,5\n", "did you mean 'agnet'? its columns are 'agnet', 'model'"),
    ("agent,model,zone,fails,calls\n1,2,3,4,5\n", "no column 'failed'; did you mean 'fails'?"),
    ("agent,agent,model,zone,failed,calls\n", "line 1, column agent: stands in the header more than once"),
    (GOOD + "cyd,s,n,x,80,1,2\n", "line 4, column failed: must be a number from 0, got 'x'"),
    (GOOD + "cyd,s,n,,80,1,2\n", "line 4, column failed: must be a number from 0, got ''"),
    (GOOD + "cyd,s,n,nan,80,1,2\n", "line 4, column failed: must be a number from 0, got 'nan'"),
    (GOOD + "cyd,s,n,1,inf,1,2\n", "line 4, column calls: must be a number from 0, got 'inf'"),
    (GOOD + "cyd,s,n,1,1e999,1,2\n", "line 4, column calls: must be a number from 0"),
    (GOOD + "cyd,s,n,-3,80,1,2\n", "line 4, column failed: must be a number from 0, got '-3'"),
    (GOOD + "cyd,s,n,81,80,1,2\n", "line 4, column failed: must not be more than calls (80)"),
    (GOOD + "cyd,s,n,1,80,3,2\n", "column failed_before: must not be more than calls_before (2)"),
    (GOOD + 'cyd,s,n,"1,5",80,3,2\n', "write decimals with a point, got '1,5'"),
    (GOOD + "cyd,s,n,1_0,80,3,2\n", "line 4, column failed: must be a number from 0, got '1_0'"),
    (GOOD + "cyd,s,n,1\n", "line 4: has 4 cells where the header has 7"),
    (GOOD + 'cyd,"s\n1,s,n,1,8,3,2\n' * 3, "is not CSV"),
    (GOOD + "cyd,s,n,1,8,1," + "9" * 140_000 + "\n", "line 4: is not CSV: field larger than field limit"),
    (GOOD + "x" * 1_100_000, "line 4: is longer than 1,048,576 bytes"),
    (GOOD.encode() + b"cyd,s,\xe9,1,8,1,2\n", "line 4: is not UTF-8 text (byte 0xe9)"),
    (GOOD.encode() + b"cyd,s,\0,1,8,1,2\n", "line 4: has a zero byte"),
    (GOOD.encode("utf-16"), "line 1: is UTF-16 text; save the file as UTF-8"),
    (GOOD.replace("\n", "\r"), "line 1: ends in CR alone"),
    (gzip.compress(GOOD.encode(), mtime=0), "line 1: is packed by gzip"),
    (b"PK\x03\x04" + bytes(80), "line 1: is a zip archive or a workbook"),
    (f"{HEADER}\nada,s,n,0,0,0,9\n", "calls.csv: no row has an attempt: column calls is 0 in 1 row"),
]


@pytest.mark.parametrize(("content", "said"), BAD_INPUT)
def test_what_cannot_be_counted_is_named_with_its_line(explain, file, content, said):
    ran = explain(file(content), *PAST)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--baseline-failures", "failed_before"), "--baseline-attempts: give both columns"),
        (("--baseline-attempts", "calls_before"), "--baseline-failures: give both columns"),
        ((*PAST, "--baseline", "x.csv"), "--baseline: give a file or columns, not both"),
        (("--baseline", "none.csv"), "none.csv cannot be read: No such file"),
        (("--dimensions", " , "), "--dimensions: must name at least one column"),
        (("--dimensions", "agent,agent"), "'agent' is named more than once"),
        (("--dimensions", "agent,calls"), "'calls' is the column of --attempts; a dimension is no count"),
        (("--dimensions", "agent,failed"), "'failed' is the column of --failures; a dimension is no count"),
        (("--top", "0"), "--top"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(explain, file, words, said):
    ran = explain(file(GOOD), *words)
    assert ran.code == 2
    assert said in ran.err


def test_standard_input_serves_once(explain, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(incident().encode())))
    assert explain("-", *PAST, "--json").json["suspects"][0]["dimensions"]["agent"] == "bob"
    assert "standard input can be read once" in explain("-", "--baseline", "-").err


def test_too_many_combinations_are_refused_with_the_dimension_to_leave_out(explain, file, monkeypatch):
    monkeypatch.setattr("app.cli.actions.explaining.LEAVES_MOST", 20)
    ran = explain(file(incident()))
    assert ran.code == 2
    assert "line 22: is the one after 20 different combinations" in ran.err
    assert "agent has 4 values" in ran.err


def test_more_answers_can_be_asked_for(explain, file):
    suspects = explain(file(incident()), *PAST, "--top", 7, "--json").json["suspects"]
    assert [one["rank"] for one in suspects] == [1, 2, 3, 4, 5, 6, 7]


def test_values_are_data_to_the_terminal(explain, file):
    text = incident().replace("bob", "b\x1b[31mob")
    assert "\x1b" not in explain(file(text), *PAST).out


def test_a_process_answers_and_refuses(file):
    words = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
    call = [*words, "observatory", "explain", str(file(incident())), *OPTIONS, *PAST, "--json"]
    ran = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert json.loads(ran.stdout)["suspects"][0]["dimensions"] == {"agent": "bob", "model": "large"}
    assert (ran.returncode, ran.stderr) == (0, "")
    call[call.index("failed")] = "fialed"
    ran = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "did you mean 'failed'?" in ran.stderr
