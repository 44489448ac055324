"""`nacre observatory score` scores every row of a series, tells gaps and doubles, and refuses by line."""

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.cli.actions.timestamps import Spacing, TimestampRefusedError, Timestamps, span
from services.domain.gauges import GaugeDetector
from tests.architecture.source_tree import ROOT

HOUR_US = 3_600_000_000
BEGAN = datetime(2024, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
GOOD = "timestamp,value\n2024-03-01 00:00:00,1\n2024-03-01 00:05:00,2\n"


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file, text or bytes, and returns its path."""

    def write(content, name="series.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def score(nacre):
    """Return a function that runs `nacre observatory score`."""
    return lambda *words: nacre("observatory", "score", *words)


def values(days=5, seed=1):
    """A daily cycle with noise that jumps for two hours on the fourth day."""
    rng = np.random.default_rng(seed)
    points = np.arange(days * 288)
    series = 100 + 5 * np.sin(points / 288 * 2 * np.pi) + rng.normal(0, 1, len(points))
    series[3 * 288 + 140 : 3 * 288 + 164] += 60
    return series.round(3).tolist()


def series(numbers, instant="{:%Y-%m-%d %H:%M:%S}".format, separator=","):
    lines = [f"{instant(BEGAN + n * STEP)}{separator}{value}" for n, value in enumerate(numbers)]
    return "\n".join([f"timestamp{separator}value", *lines]) + "\n"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_row_is_scored_as_the_detector_scores_it(score, file):
    numbers = values()
    ran = score(file(series(numbers)))
    detector = GaugeDetector()
    expected = [
        detector.update(int((BEGAN + n * STEP).timestamp()) * 1_000_000, value)
        for n, value in enumerate(numbers)
    ]
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "timestamp,value,anomaly_score,alert"
    rows = rows_of(ran.out)
    assert [float(row["value"]) for row in rows] == numbers
    assert [row["alert"] for row in rows] == [str(int(one.alert)) for one in expected]
    assert [float(row["anomaly_score"]) for row in rows] == pytest.approx(
        [one.anomaly_score for one in expected], abs=1e-6
    )
    alerts = [n for n, row in enumerate(rows) if row["alert"] == "1"]
    assert len(alerts) == 1
    assert 3 * 288 + 140 <= alerts[0] < 3 * 288 + 164


def test_the_summary_says_points_alerts_and_confidence(score, file):
    said = score(file(series(values()))).err
    assert "1,440 points from 2024-03-01 00:00:00 to 2024-03-05 23:55:00, one every 5 min" in said
    assert "1 alert, 0.0694 % of the points" in said
    assert "alert: 2024-03-04 1" in said
    assert "60 % of the scores have low confidence" in said
    assert "µs per point" in said


def test_json_is_the_summary_and_the_rows_go_to_a_file(score, file, tmp_path):
    out = tmp_path / "scored.csv"
    ran = score(file(series(values())), "--json", "--out", out)
    found = ran.json
    assert (found["points"], found["alerts"], found["usual_spacing_seconds"]) == (1440, 1, 300.0)
    assert found["low_confidence_share"] == pytest.approx(0.6)
    row = rows_of(out.read_text())[found["first_alerts"][0]["line"] - 2]
    assert (row["alert"], row["timestamp"]) == ("1", found["first_alerts"][0]["timestamp"])
    assert ran.err == ""
    assert score(file(series(values())), "--json").json["points"] == 1440


WAYS_TO_SAY_WHEN = {
    "T": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    "Z": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
    "local zone": lambda at: at.astimezone().isoformat(),
    "offset": lambda at: (at + timedelta(hours=5)).strftime("%Y-%m-%d %H:%M:%S+05:00"),
    "seconds": lambda at: f"{at.timestamp():.0f}",
    "parts of seconds": lambda at: f"{at.timestamp():.1f}",
    "milliseconds": lambda at: f"{at.timestamp() * 1e3:.0f}",
}


@pytest.mark.parametrize("instant", WAYS_TO_SAY_WHEN.values(), ids=WAYS_TO_SAY_WHEN)
def test_times_are_read_however_they_are_written(score, file, instant):
    plain, other = (
        rows_of(score(file(text)).out) for text in (series(values(4)), series(values(4), instant))
    )
    assert [row["anomaly_score"] for row in other] == [row["anomaly_score"] for row in plain]
    assert other[7]["timestamp"] == instant(BEGAN + 7 * STEP), "as it stands in the file"


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_marks_and_line_ends_are_found_out(score, file, separator):
    plain = score(file(series(values(4)))).out
    text = "\ufeff" + series(values(4), separator=separator).replace("\n", "\r\n") + "\r\n"
    assert score(file(text)).out == plain


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("timestamp,value", ()),
        ("Time, Latency", ()),
        ("when,ms", ("--timestamp", "when")),
        ("when,ms", ("--timestamp", "when", "--value", "MS")),
    ],
)
def test_columns_are_found_by_name_or_by_what_is_left(score, file, header, words):
    text = series(values(1)).replace("timestamp,value", header, 1)
    assert score(file(text), *words).out == score(file(series(values(1)))).out


def test_gaps_doubles_and_missing_values_are_told_and_gone_on_with(score, file):
    lines = series(values()).splitlines()
    text = "\n".join([*lines[:20], lines[19], *lines[20:100], *lines[130:200], *lines[225:]]) + "\n"
    text = text.replace(lines[300], lines[300].split(",")[0] + ",NaN")
    text = text.replace(lines[301], lines[301].split(",")[0] + ",")
    ran = score(file(text))
    assert ran.code == 0
    assert "1 row with the timestamp of the row above (first in line 21): each scored" in ran.err
    assert "2 rows without a value: no score, no alert" in ran.err
    assert "2 gaps, the longest of 2.58 h: nothing was filled in" in ran.err
    assert "gap: 2.58 h from 2024-03-01 08:10:00, to line 102" in ran.err
    rows = rows_of(ran.out)
    assert len(rows) == text.count("\n") - 1
    empty = [row for row in rows if not row["value"]]
    assert [(row["anomaly_score"], row["alert"]) for row in empty] == [("", "0")] * 2
    found = score(file(text), "--json").json
    assert [gap["seconds"] for gap in found["first_gaps"]] == [31 * 300.0, 26 * 300.0]


def test_one_row_is_scored_and_said_to_mean_little(score, file):
    ran = score(file("timestamp,value\n2024-03-01,5\n"))
    assert (ran.code, ran.out.splitlines()[1]) == (0, "2024-03-01,5,0.000000,0")
    assert "1 point from" in ran.err
    assert "alerts need 12 h of history" in ran.err


def test_a_lower_threshold_and_no_silence_alert_more(score, file):
    path = file(series(values()))
    usual = score(path, "--json").json["alerts"]
    assert score(path, "--silence-hours", 0, "--json").json["alerts"] > usual
    assert score(path, "--threshold", 1e6, "--json").json["alerts"] == 0


BAD_INPUT = [
    ("", "is empty; its first line must name the columns"),
    ("timestamp,value\n", "has a header and no rows"),
    ("timestamp,value\n2024-03-01,\n2024-03-02,nan\n", "column value of "),
    ("when,what,which\n1,2,3\n", "no column 'timestamp'; its columns are 'when', 'what', 'which'"),
    ("timestmp,value\n1,2\n", "did you mean 'timestmp'?"),
    ("timestamp,a,b\n1,2,3\n", "--value: "),
    ("timestamp,value,value\n1,2,3\n", "line 1, column value: stands in the header more than once"),
    (GOOD + "2024-03-01 00:10:00,abc\n", "line 4, column value: must be a finite number"),
    (GOOD + "2024-03-01 00:10:00,inf\n", "line 4, column value: must be a finite number"),
    (GOOD + '2024-03-01 00:10:00,"1,5"\n', "write decimals with a point, got '1,5'"),
    (GOOD + "yesterday,1\n", "line 4, column timestamp: must be a time such as 2014-02-14 14:30:00"),
    (GOOD + ",1\n", "line 4, column timestamp: must be a time such as"),
    (GOOD + "2024-02-30 00:00:00,1\n", "line 4, column timestamp: must be a time such as"),
    (GOOD + "2024-03-01T00:10:00Z,1\n", "has a zone where the rows above have no zone; write all alike"),
    (GOOD + "1709251200,1\n", "counts seconds where the rows above have no zone"),
    (
        "timestamp,value\n1709251200,1\n1709251200000,1\n",
        "counts milliseconds where the rows above count seconds",
    ),
    ("timestamp,value\n1709251200Z,1\n", "line 2, column timestamp: must be a time such as"),
    ("timestamp,value\n20240301,1\n", "may be a date or a count of seconds"),
    ("timestamp,value\n1709251200000000,1\n", "is too large; write seconds or milliseconds"),
    (
        GOOD + "2024-03-01 00:04:59,1\n",
        "line 4, column timestamp: is before the row above (2024-03-01 00:05:00)",
    ),
    (GOOD + "2024-03-01 00:10:00\n", "line 4: has 1 cells where the header has 2"),
    (GOOD + '2024-03-01 00:10:00,"1\n', "is not CSV"),
    (GOOD + "2024-03-01 00:10:00," + "1" * 140_000 + "\n", "line 4: is not CSV: field larger than"),
    (GOOD.encode() + b"\xff,1\n", "line 4: is not UTF-8 text (byte 0xff)"),
    (GOOD.encode("utf-16"), "line 1: is UTF-16 text"),
]


@pytest.mark.parametrize(("content", "said"), BAD_INPUT)
def test_what_cannot_be_scored_is_named_and_leaves_no_file(score, file, tmp_path, content, said):
    out = tmp_path / "out"
    out.mkdir()
    ran = score(file(content), "--out", out / "scored.csv")
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--threshold", 0), "--threshold: must be a positive number, got 0"),
        (("--threshold", "nan"), "--threshold: must be a positive number, got nan"),
        (("--silence-hours", -1), "--silence-hours: must be a number from 0, got -1"),
        (("--silence-hours", "inf"), "--silence-hours: must be a number from 0, got inf"),
        (("--value", "timestamp"), "--value: is the column of the timestamps"),
        (("--value", "valeu"), "did you mean 'value'?"),
        (("--threshold", "high"), "--threshold"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(score, file, words, said):
    ran = score(file(GOOD), *words)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_a_file_is_not_overwritten_by_its_own_scores(score, file, tmp_path):
    path = file(GOOD)
    assert "--out: is " in score(path, "--out", path).err
    assert path.read_text() == GOOD
    assert "cannot be read: No such file" in score(tmp_path / "none.csv").err
    assert score(tmp_path).code == 2


def test_rows_are_scored_as_they_come(file):
    """The first rows are out while the pipe that brings them is still open."""
    call = [sys.executable, "-u", "-c", "import sys; from app.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*call, "observatory", "score", "-"],
        bufsize=0,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(series(values(2)).encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"timestamp,value,anomaly_score,alert\n"
        assert process.stdout.readline().startswith(b"2024-03-01 00:00:00,")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.count(b"\n") == 575
    assert b"576 points" in err


def test_a_process_answers_in_json(file):
    call = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
    words = [*call, "observatory", "score", str(file(series(values()))), "--json"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["alerts"] == 1


def test_a_gap_is_known_by_the_usual_spacing():
    spacing, at_us = Spacing(), 0
    for line, step_us in enumerate([60, 60, 500, *[60] * 10, 170, *[60] * 60, 200, *[600] * 400], start=3):
        spacing.add(line, at_us, at_us + step_us)
        at_us += step_us
    spacing.settle()
    assert [gap.line for gap in spacing.gaps[:2]] == [5, 77], "the first ones are judged too"
    assert spacing.usual_us == 600, "a series may come to be spaced otherwise"
    assert spacing.gap_count < 110


def test_too_few_points_are_judged_at_the_end():
    spacing = Spacing()
    for line, (begun_us, ends_us) in enumerate([(0, 60), (60, 120), (120, 900)], start=3):
        spacing.add(line, begun_us, ends_us)
    assert spacing.gap_count == 0
    spacing.settle()
    assert [(gap.line, gap.from_us, gap.length_us) for gap in spacing.gaps] == [(5, 120, 780)]


def test_without_a_zone_is_utc_and_offsets_may_change():
    assert Timestamps().read(" 1970-01-01 01:00 ") == HOUR_US
    zoned = Timestamps()
    assert zoned.read("1970-01-01T02:00+01:00") == zoned.read("1970-01-01T03:00+02:00") == HOUR_US
    with pytest.raises(TimestampRefusedError, match="write all alike"):
        zoned.read("1970-01-01T03:00")


def test_a_span_has_the_largest_unit_that_fits():
    assert [span(1e6 * s) for s in (0.25, 59, 60, 3_600, 9_000, 86_400 * 1.5)] == [
        "0.25 s",
        "59 s",
        "1 min",
        "1 h",
        "2.5 h",
        "1.5 days",
    ]


def test_daily_points_say_what_they_lack(score, file):
    rows = "".join(f"2024-02-{day:02d},{day % 3}\n" for day in range(1, 30))
    said = score(file("day,value\n" + rows), "--timestamp", "day").err
    assert "29 points from 2024-02-01" in said
    assert "one every day" in said
    assert (
        "100 % of the scores have low confidence (less than 3 days of history, or fewer than 12 points"
        in said
    )
    assert "too sparse" in said


@pytest.mark.parametrize(
    ("out", "message"), [("none/x.csv", "--out: there is no folder "), (".", "--out: . is a folder")]
)
def test_rows_cannot_go_where_there_is_no_folder(score, file, tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    ran = score(file(series(values())), "--out", out)
    assert (ran.code, message in ran.err) == (2, True), ran.err


def test_a_table_without_a_header_is_told_so(score, file):
    ran = score(file("2024-02-01,3\n2024-02-02,4\n"))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "has no header: the first line must name the columns, got '2024-02-01', '3'" in ran.err
