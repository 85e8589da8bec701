"""`autotune diagnose` in each of its formats, to stdout and into files, and as a gate of a job."""

import importlib.util
from pathlib import Path

import pytest

from autotune.cli import main

RUNS = Path(__file__).parents[1] / "data" / "runs"
SICK, HEALTHY = RUNS / "collapse-0", RUNS / "good-0"
MARKS = {  # by which each format is told
    "terminal": "CAUSE 1",
    "json": '"overview": [',
    "markdown": "# FATAL: The learning rate is too high",
    "html": "<!doctype html>",
    "github": "::error title=FATAL KL002",
}


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine of one's own, also where these tests run in a job of GitHub's."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)


def diagnose(*arguments: str | Path) -> int:
    return main(["diagnose", *map(str, arguments)])


@pytest.mark.parametrize("format", MARKS)
def test_a_report_goes_to_stdout_or_into_a_file(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(SICK, "--format", format) == 1
    printed = capsys.readouterr().out
    assert MARKS[format] in printed and printed.endswith("\n")
    assert diagnose(SICK, "--format", format, "--output", "report") == 1
    assert capsys.readouterr() == ("", "")
    written = Path("report").read_text(encoding="utf-8")
    assert MARKS[format] in written and "\x1b" not in written
    if format != "terminal":  # which is as wide as the terminal
        assert written == printed
    assert diagnose(SICK, "--format", format, "--output", "-") == 1
    assert capsys.readouterr().out == printed and not Path("-").exists()


@pytest.mark.parametrize(
    ("name", "format"),
    [("r.html", "html"), ("r.HTM", "html"), ("r.md", "markdown"), ("r.json", "json"), ("r.txt", "terminal")],
)
def test_the_name_of_the_file_says_the_format_where_nothing_else_does(name: str, format: str) -> None:
    assert diagnose(SICK, "--output", name) == 1
    assert diagnose(SICK, "--format", format, "--output", "named") == 1
    assert Path(name).read_text(encoding="utf-8") == Path("named").read_text(encoding="utf-8")
    assert diagnose(SICK, "--format", "terminal", "--output", name) == 1
    assert MARKS["terminal"] in Path(name).read_text(encoding="utf-8")


def test_all_formats_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for format in MARKS:
        diagnose(SICK, "--format", format)
        said[format] = " ".join(capsys.readouterr().out.replace("\\n", " ").split())
    for format, text in said.items():
        for part in ("KL002", "kl_explosion", "The learning rate is too high", "RWD001", "0.5) from step 20 to 49"):
            assert part in text, (format, part)
        assert "divide learning_rate by 8" in text or format == "json"


def test_a_second_look_shows_the_same_page_from_the_report_that_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    pages = []
    for more in ((), (), ("--no-cache",)):
        diagnose(SICK, "--format", "html", *more)
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1] == pages[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--output", "."], ". is a folder. Give --output the name of a file."),
        (["--output", ""], "the name of the output is empty"),
        (["--output", "no/such/report.md"], "there is no folder no/such for report.md"),
        (["--output", "run/events.jsonl"], "run/events.jsonl is a log, which the report would overwrite"),
        (["--output", "link"], "link is a log, which the report would overwrite"),
        (["--format", "pdf"], "unknown --format pdf. Choose from terminal, json, markdown, html, github."),
        (["--format", "htm"], "Did you mean html?"),
        (["--format", "html", "--follow"], "--follow writes to stdout, as terminal or json"),
        (["--output", "x", "--follow"], "Leave out --output, --save-plots and other formats."),
        (["--save-plots", "run/events.jsonl"], "run/events.jsonl is no folder"),
        (["--save-plots", "run/events.jsonl/x"], "cannot write into run/events.jsonl/x: Not a directory"),
        (["--save-plots", ""], "the name of the folder is empty"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_the_log_stays(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    Path("run").mkdir()
    log = Path("run/events.jsonl")
    log.write_bytes((SICK / "events.jsonl").read_bytes())
    Path("link").symlink_to(log)
    before = log.read_bytes()
    assert diagnose("run", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autotune: error: ") and says in line
    assert log.read_bytes() == before


def test_a_report_that_the_disk_does_not_take_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(SICK, "--format", "markdown", "--output", "/dev/full") == 2
    assert "cannot write /dev/full: No space left on device" in capsys.readouterr().err


def test_pictures_are_saved_beside_any_report(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    assert diagnose(RUNS / "blown-up", "--save-plots", "a/plots", "--only", "NUM001") == 1
    out, err = capsys.readouterr()
    assert "CAUSE 1" in out and err == "autotune: 2 pictures in a/plots\n"
    assert sorted(path.name for path in Path("a/plots").iterdir()) == ["NUM001-grad_norm.png", "NUM001-grad_norm.svg"]
    assert diagnose(SICK, "--save-plots", "none", "--only", "KL001") == 0
    assert capsys.readouterr().err == "autotune: no finding has a curve to draw\n"


def test_without_matplotlib_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    assert diagnose(SICK, "--save-plots", "plots") == 2
    out, err = capsys.readouterr()
    assert out == "" and "needs matplotlib, which is not installed. Install it: pip install 'autotune-rl[plots]'" in err


# ---- a job of GitHub's


def test_a_job_gets_annotations_and_a_summary_beside_what_other_steps_wrote(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = Path("summary.md")
    summary.write_text("of another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert diagnose(HEALTHY, SICK, "--format", "github", "--fail-on", "fatal") == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("of another step\n# 2 runs by their worst finding: 1 fatal, 1 info.\n")
    assert "| **FATAL** | `collapse-0` |" in text
    assert diagnose(HEALTHY, "--format", "markdown") == 0
    assert summary.read_text(encoding="utf-8") == text, "other formats leave it alone"
    assert diagnose(HEALTHY, "--format", "github", "--fail-on", "warning") == 0


def test_a_summary_takes_no_more_than_github_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = Path("summary.md")
    summary.write_bytes(b"x" * (1024 * 1024 - 10_000))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    diagnose(RUNS, "--format", "github", "--output", "annotations")
    assert summary.stat().st_size <= 1024 * 1024
    assert "# 38 runs" in summary.read_text(encoding="utf-8")


def test_what_was_not_diagnosed_is_an_annotation_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.csv").touch()
    assert diagnose("gone.jsonl", HEALTHY, "empty.csv", "--format", "github") == 2
    out, err = capsys.readouterr()
    assert out.count("::error title=not diagnosed::") == 2 and len(err.splitlines()) == 2
    assert diagnose("gone.jsonl", "--format", "github") == 2
    assert capsys.readouterr().out == (
        "::error title=not diagnosed::there is no gone.jsonl. Check the spelling.\n"
        "::notice title=autotune::1 could not be read.\n"
    )


def test_a_summary_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/such/summary.md")
    assert diagnose(HEALTHY, "--format", "github") == 2
    assert "cannot write the summary no/such/summary.md: No such file or directory" in capsys.readouterr().err


def test_a_curve_is_marked_from_the_step_on_since_which_the_report_says(capsys: pytest.CaptureFixture[str]) -> None:
    """KL002 warns before it is fatal, and the range of the fatal one alone begins later."""
    diagnose(SICK, "--only", "KL002")
    printed = capsys.readouterr().out
    since = int(printed.partition("kl_explosion  steps ")[2].split()[0])
    assert ["1", str(since), "100"] in [line.split() for line in printed.splitlines()]  # below the curve
    diagnose(SICK, "--format", "html")
    page = capsys.readouterr().out
    assert f'data-first="{since}"' in page and f'"first":{since},' in page
