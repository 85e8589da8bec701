"""`diagnostics.diagnose`: what a person types in a notebook."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import diagnostics
from diagnostics.errors import UserError
from diagnostics.finding import Report, Severity

pandas = pytest.importorskip("pandas")
ROWS = [
    {"step": i, "grad_norm": math.inf if i == 40 else 1.0, "avg": 0.5 + 0.01 * (i % 5), "note": "text"}
    for i in range(60)
]
SICK = [("NUM001", 40)]


def said(report: Report) -> list[tuple[str, int]]:
    return [(f.code, f.raised_at) for f in report.findings]


def written(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import diagnostics; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("diagnostics")}
    assert ours == {"diagnostics"}
    assert not set(done.stdout.split()) & {"numpy", "rich", "pandas"}


def test_a_path(tmp_path: Path) -> None:
    log = written(tmp_path / "log.jsonl")
    assert said(diagnostics.diagnose(log)) == said(diagnostics.diagnose(str(log))) == SICK


class Polars:
    """As much of a polars DataFrame as is used: columns by name, and no index."""

    class Series(list):
        to_list = list.copy

    def __init__(self, columns: dict[str, list]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> "Polars.Series":
        return self.Series(self._columns[name])


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


@pytest.mark.parametrize(
    "log",
    [
        ROWS,
        COLUMNS,
        {name: np.array(values, np.float32) for name, values in COLUMNS.items() if name != "note"},
        {name: pandas.Series(values) for name, values in COLUMNS.items()},
        [{name: np.float32(v) if name == "grad_norm" else v for name, v in row.items()} for row in ROWS],
        pandas.DataFrame(ROWS),
        pandas.DataFrame(ROWS).set_index("step"),
        {name: [np.float32(v) if name == "grad_norm" else v for v in values] for name, values in COLUMNS.items()},
        pandas.DataFrame(ROWS).astype({"grad_norm": "float32", "step": "Int64"}),
        Polars(COLUMNS),
    ],
    ids=["rows", "columns", "arrays", "series", "numpy", "pandas", "index", "scalars", "types", "polars"],
)
def test_what_was_logged(log: object) -> None:
    report = diagnostics.diagnose(log)
    assert said(report) == SICK
    assert report.steps == 59
    assert report.unmapped == ("avg",)


def test_an_index_with_a_name_is_a_column() -> None:
    frame = pandas.DataFrame({**COLUMNS, "step": [10 * s for s in range(60)]}).set_index("step")
    assert said(diagnostics.diagnose(frame)) == [("NUM001", 400)]
    assert said(diagnostics.diagnose(pandas.DataFrame(ROWS, index=range(7, 67)).drop(columns="step"))) == SICK


def test_names_that_nobody_knows_come_with_metrics_that_no_other_name_is_read_as() -> None:
    alone = diagnostics.diagnose({"step": COLUMNS["step"], "avg_return": COLUMNS["avg"]}).suggestions["avg_return"]
    both = diagnostics.diagnose({"step": COLUMNS["step"], "avg_return": COLUMNS["avg"], alone[0]: COLUMNS["avg"]})
    assert alone[0] not in both.suggestions.get("avg_return", ())


def test_nan_is_evidence_where_it_cannot_mean_missing() -> None:
    bad = {**COLUMNS, "grad_norm": [math.nan if i == 30 else 1.0 for i in range(60)]}
    assert said(diagnostics.diagnose(bad)) == [("NUM001", 30)]
    assert said(diagnostics.diagnose(Polars(bad))) == [("NUM001", 30)]
    report = diagnostics.diagnose(pandas.DataFrame(bad))
    assert not report.findings
    assert any("taken as not logged (1 x)" in note for note in report.notes)


def test_rows_of_different_names_as_a_trainer_logs_them() -> None:
    history = [*ROWS[:30], {"step": 30, "eval_loss": 1.0}, *ROWS[30:]]
    assert said(diagnostics.diagnose(pandas.DataFrame(history))) == said(diagnostics.diagnose(history)) == SICK


def test_what_is_none_is_not_logged() -> None:
    columns = {**COLUMNS, "grad_norm": [None if i % 2 else 1.0 for i in range(60)]}
    assert not diagnostics.diagnose(columns).findings


def test_names_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text('[metrics]\navg = "reward_mean"\n')
    for mine in ({"avg": "reward_mean"}, tmp_path / "names.toml", str(tmp_path / "names.toml")):
        report = diagnostics.diagnose(ROWS, map=mine)
        assert report.names["reward_mean"] == "avg" and not report.unmapped
    with pytest.raises(UserError, match="Did you mean reward_mean"):
        diagnostics.diagnose(ROWS, map={"avg": "reward_men"})


def test_rules_are_chosen() -> None:
    assert not diagnostics.diagnose(ROWS, ignore="NUM001").findings
    assert not diagnostics.diagnose(ROWS, only=["KL002", "ENT001"]).findings
    assert said(diagnostics.diagnose(ROWS, only="NUM001,KL002")) == SICK


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (42, "cannot diagnose an object of type int"),
        ("/no/such/place", "there is no /no/such/place"),
        ({"loss": 3.0}, "'loss' is no list of numbers"),
        ({"loss": "3.0"}, "'loss' is no list of numbers"),
        ([], "there is no number"),
        ({}, "there is no number"),
        ([{"note": "text"}], "there is no number"),
        ([1, 2], "cannot diagnose an object of type list"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
    ],
)
def test_what_cannot_be_diagnosed(log: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        diagnostics.diagnose(log)


def test_numbers_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rows = [{**row, "grad_norm": torch.tensor(row["grad_norm"])} for row in ROWS]
    assert said(diagnostics.diagnose(rows)) == SICK
    alone = {**COLUMNS, "grad_norm": [torch.tensor([value]) for value in COLUMNS["grad_norm"]]}
    assert said(diagnostics.diagnose(alone)) == SICK


@pytest.mark.parametrize(
    "log",
    [
        {**COLUMNS, "pairs": np.zeros((60, 2)), "gone": [None] * 60},
        [{**row, "pairs": np.zeros(2), "gone": None, "nested": {"loss": 0.5}} for row in ROWS],
    ],
    ids=["columns", "rows"],
)
def test_what_holds_no_number_is_told(log: object) -> None:
    assert [note for note in diagnostics.diagnose(log).notes if "no number" in note] == ["no number under pairs"]


def test_a_message_with_the_name_of_a_file_moves_no_cursor(tmp_path: Path) -> None:
    for name in ("a\x1b[2J.jsonl", "b\n.jsonl"):
        written(tmp_path / name)
    with pytest.raises(UserError) as error:
        diagnostics.diagnose(tmp_path)
    assert r"a\x1b[2J.jsonl" in str(error.value) and "\n" not in str(error.value)


def test_a_step_that_is_there_and_is_not_used_is_not_called_missing() -> None:
    still = [{**row, "step": 7} for row in ROWS]
    assert "step does not number the rows: rows are counted, from 0 on" in diagnostics.diagnose(still).notes
    none = [{name: value for name, value in row.items() if name != "step"} | {"epoch": 0.5} for row in ROWS]
    assert "no step was logged: rows are counted, from 0 on" in diagnostics.diagnose(none).notes


def test_of_several_runs_one_is_asked_for(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.jsonl"), written(tmp_path / "b.jsonl")
    with pytest.raises(UserError, match=rf"holds 2 runs. Say which with run=: {first}, {second}"):
        diagnostics.diagnose(tmp_path)
    assert diagnostics.diagnose(tmp_path, run=str(second)).source == str(second)
    with pytest.raises(UserError, match="holds no run 'c'"):
        diagnostics.diagnose(tmp_path, run="c")


# ---- a report shows itself


def test_as_text() -> None:
    report = diagnostics.diagnose(ROWS)
    assert repr(report) == str(report)
    first, cause, second = repr(report).splitlines()
    assert first.endswith("last step 59; 1 error")
    assert cause == "Numbers overflow: NUM001 non_finite at 40"
    assert second == "ERROR NUM001 non_finite at step 40: grad_norm is inf at step 40"
    assert report.worst() is Severity.ERROR
    assert repr(diagnostics.diagnose(ROWS[:30])).endswith("no findings")


def test_a_finding_of_a_later_segment_says_so() -> None:
    report = diagnostics.diagnose([*ROWS[:30], *ROWS])
    assert "ERROR NUM001 non_finite at step 40 of segment 2: grad_norm is inf at step 40" in repr(report).splitlines()


def test_text_of_others_is_made_visible_in_it() -> None:
    report = diagnostics.diagnose(ROWS)
    evil = replace(report, source=EVIL, findings=(replace(report.findings[0], message=EVIL),))
    assert "\x1b" not in repr(evil) and repr(evil).count(r"\x1b[31m") == 2
    assert "\x1b" not in evil._repr_html_()


class Tags(HTMLParser):
    """All tags and attributes of a document, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


EVIL = """<script>alert(1)</script><img src=x onerror='alert("2")'>&lt;b&gt;\x1b[31m</pre>"""


def test_as_html_without_anything_from_the_log_as_markup() -> None:
    rows = [{**row, EVIL: 1.0, f"reward_component_mean[{EVIL}]": 1.0 if i < 30 else 0.0} for i, row in enumerate(ROWS)]
    report = diagnostics.diagnose(rows)
    shown = Tags()
    shown.feed(report._repr_html_())
    assert shown.tags == {"pre", "span"}
    assert shown.attributes == {"style"}
    letters = "".join(shown.text.split())
    assert "NUM001" in letters and "<script>alert(1)</script>" in letters and r"\x1b[31m" in letters
    assert "\x1b" not in report._repr_html_() + repr(report)
    assert "⣀" in shown.text or "⠒" in shown.text, "the plot"
