import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotune import cli
from autotune.cli import VERBS, ExitStatus, main
from autotune.extras import EXTRAS, require
from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted


def write_run(folder: Path, grad_norms: list[float]) -> Path:
    folder.mkdir(parents=True)
    log = EventLog(folder / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {}))
    for step, value in enumerate(grad_norms):
        log.emit(MetricsLogged(step, {"grad_norm": value}))
    log.emit(RunEnded(len(grad_norms) - 1, Outcome.FINISHED))
    log.close()
    return folder


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return write_run(tmp_path / "healthy", [1.0] * 20)


@pytest.fixture
def one_nan(tmp_path: Path) -> Path:
    """NUM001 at ERROR, and nothing worse."""
    return write_run(tmp_path / "one_nan", [1.0] * 9 + [float("nan")] + [1.0] * 10)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """`autotune rules`, made to raise something."""

    def make(error: BaseException) -> None:
        class Failing:
            @staticmethod
            def configure(parser) -> None:
                parser.add_argument("rule", nargs="?")

            @staticmethod
            def run(args) -> ExitStatus:
                raise error

        monkeypatch.setattr(cli.Verb, "load", lambda verb: Failing)

    return make


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(verb in out and VERBS[verb].help in out for verb in VERBS)


def test_without_a_verb_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "diagnose" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"autotune {verb}" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("autotune 0.")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["diagnos"], "unknown command diagnos. Did you mean diagnose? Choose from study, monitor, train,"),
        (["xyzzy"], "unknown command xyzzy. Choose from study, monitor, train, diagnose, lint, compare, rules."),
        (["--versoin"], "unknown option --versoin. Did you mean --version? See autotune --help."),
        (["diagnose"], "the following arguments are required: SOURCE. See autotune diagnose --help."),
        (["diagnose", "x", "--formt=json"], "unknown option --formt. Did you mean --format?"),
        (["diagnose", "x", "--form", "json"], "unknown option --form. Did you mean --format?"),
        (["diagnose", "x", "--format", "jso"], "unknown --format jso. Did you mean json? Choose from terminal, json, "),
        (["diagnose", "x", "--fail-on", "eror"], "Did you mean error? Choose from info, warning, error, fatal."),
        (["rules", "NUM01"], "there is no rule NUM01. Did you mean NUM001 non_finite?"),
        (["rules", "a", "b"], "unknown argument b."),
        (["study", "strat"], "unknown command strat. Did you mean start?"),
        (["diagnose", "/no/such/place"], "there is no /no/such/place. Check the spelling."),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(argv, says, capsys):
    assert main(argv) == 2
    line = one_line(capsys)
    assert line.startswith("autotune: error: ")
    assert says in line


def test_exit_statuses_of_diagnose(healthy, one_nan):
    assert main(["diagnose", str(healthy)]) == 0
    assert main(["diagnose", str(one_nan)]) == 1
    assert main(["diagnose", str(healthy), str(one_nan)]) == 1
    assert main(["diagnose", str(one_nan), "--fail-on", "fatal"]) == 0
    assert main(["diagnose", str(one_nan), "--fail-on", "ERROR"]) == 1
    assert main(["diagnose", str(one_nan), "--fail-on", "info"]) == 1


def test_a_study_is_diagnosed_in_the_order_of_its_trials(tmp_path, capsys):
    for n in (0, 2, 10):
        write_run(tmp_path / "s" / "trials" / str(n), [1.0] * 5)
    assert main(["diagnose", str(tmp_path / "s")]) == 0
    out = capsys.readouterr().out.replace("\n", "")
    assert out.index("trials/0") < out.index("trials/2") < out.index("trials/10")
    assert "3 runs by their worst finding: 3 none." in out


def test_rules_lists_every_rule_and_shows_a_page(capsys, monkeypatch):
    from diagnostics.rule import all_lints, all_rules

    assert main(["rules"]) == 0
    table = capsys.readouterr().out
    assert all(code in table for code in [*all_rules(), *all_lints()])
    assert main(["rules", "non_finite"]) == 0
    shown = capsys.readouterr().out
    assert "NUM001 non_finite\n" in shown
    assert "Highest severity: fatal" in shown
    assert "fatal_after = 3" in shown
    assert "grad_norm" in shown


def test_interrupted(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["rules"]) == 130
    assert one_line(capsys) == "autotune: interrupted"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_full_or_locked_disk_is_one_line(number, failing, capsys):
    failing(OSError(number, os.strerror(number), "/data/events.jsonl"))
    assert main(["rules"]) == 2
    assert one_line(capsys).startswith(f"autotune: error: /data/events.jsonl: {os.strerror(number)}. ")


@pytest.mark.parametrize(
    "bug", [ValueError("bug"), OSError(errno.EBADF, "x"), BrokenPipeError(), ModuleNotFoundError("x", name="xyz")]
)
def test_a_bug_shows_its_traceback(bug, failing, monkeypatch):
    monkeypatch.setattr(cli, "_stdout_is_gone", lambda: False)  # the pipe to a worker, say
    failing(bug)
    with pytest.raises(type(bug)):
        main(["rules"])


def test_a_missing_extra_says_how_to_install_it(failing, capsys):
    failing(ModuleNotFoundError("No module named 'trl'", name="trl"))
    assert main(["rules"]) == 2
    assert "needs trl, which is not installed. Install it: pip install 'autotune-rl[train]'" in one_line(capsys)


def test_require(monkeypatch):
    require("json")
    monkeypatch.setitem(EXTRAS, "no_such_package", "train")
    with pytest.raises(UserError, match="needs no_such_package"):
        require("json", "no_such_package")


def test_an_error_cannot_write_to_the_terminal(failing, capsys):
    failing(UserError("odd\x1b[2Jname\nsecond line", "Rename it."))
    assert main(["rules"]) == 2
    assert one_line(capsys) == r"autotune: error: odd\x1b[2Jname second line. Rename it."


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    autotune = subprocess.Popen(
        [sys.executable, "-m", "autotune", "rules"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    autotune.stdout.close()
    assert autotune.stderr.read() == b""
    assert autotune.wait() == ExitStatus.BROKEN_PIPE
    autotune.stderr.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://example.com/foo", "there is no https://example.com/foo. Check the spelling. Of addresses, those"),
        ("s3://bucket/x", "there is no s3://bucket/x. Check the spelling. Of addresses, those"),
        ("wandb:foo", "there is no wandb:foo. Check the spelling. Runs of wandb go by wandb:entity/project/run"),
        ("trackio:foo", "there is no trackio:foo. Check the spelling. Projects of trackio are looked for in nowhere ("),
        ("foo", "there is no foo. Check the spelling.\n"),
    ],
)
def test_of_a_name_that_leads_nowhere_it_is_said_what_is_known(name, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKIO_DIR", "nowhere")
    assert main(["diagnose", name]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("package", ["trainers", "diagnostics"])
def test_a_folder_that_hides_ours_is_named(package, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "autotune", "rules"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"autotune: error: {tmp_path / package} hides autotune's own package {package}.")


def test_a_folder_without_a_package_hides_nothing(tmp_path):
    (tmp_path / "trainers").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "autotune", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
