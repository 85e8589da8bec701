"""Real training through the command line: what a new user types, and what then lies on the disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diagnostics.engine import diagnose
from diagnostics.events import FindingRaised, Tail
from diagnostics.finding import Severity
from diagnostics.readers import events
from studies.log import read
from studies.record import Origin, State

AUTOTUNE = [sys.executable, "-P", "-m", "autotune"]


def autotune(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AUTOTUNE, *arguments], capture_output=True, text=True, cwd=cwd, env={**os.environ})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two trials of the built-in task from the preset's start, which collapses."""
    root = tmp_path_factory.mktemp("study")
    done = autotune("study", "start", "--trials", "2", "--dir", "it", cwd=root)
    assert done.returncode == 0, done.stderr
    return root / "it", done.stdout


@pytest.mark.slow
def test_the_collapse_is_noticed_stopped_and_mended(study: tuple[Path, str]) -> None:
    record = read(study[0])
    first, second = record.trials
    assert first.state is State.PRUNED
    assert first.steps < first.max_steps / 2
    assert max(f.severity for f in first.findings) is Severity.FATAL
    assert (second.proposal.origin, second.proposal.knob) == (Origin.FINDING, "learning_rate")
    assert float(second.proposal.knobs["learning_rate"]) < 1e-3
    assert second.state is State.COMPLETE
    assert second.evaluations[-1].value > second.evaluations[0].value + 0.2
    assert record.best() == second


@pytest.mark.slow
def test_the_lines_tell_the_story_in_order(study: tuple[Path, str]) -> None:
    said = study[1]
    order = [
        "trial 0  because",
        "FATAL",
        "trial 0  stopped",
        "trial 1  learning_rate 0.003 →",
        "hypothesis:",
        "best: trial 1",
    ]
    places = [said.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.slow
def test_what_was_raised_while_it_ran_is_what_a_diagnosis_of_the_finished_run_raises(study: tuple[Path, str]) -> None:
    for number in (0, 1):
        folder = study[0] / "trials" / str(number)
        live = {
            (e.event.finding.code, e.event.finding.raised_at, e.event.finding.severity)
            for e in Tail(folder / "events.jsonl").poll()
            if isinstance(e.event, FindingRaised)
        }
        assert live == {(f.code, f.raised_at, f.severity) for f in diagnose(events.read(folder)).raised}


@pytest.mark.slow
def test_the_study_can_be_looked_at_afterwards(study: tuple[Path, str]) -> None:
    folder = study[0]
    assert "★" in autotune("study", "show", str(folder), cwd=folder).stdout
    assert "2/2 trials  finished  best" in autotune("study", "list", str(folder.parent), cwd=folder).stdout
    best = json.loads(autotune("study", "best", str(folder), "--format", "json", cwd=folder).stdout)
    assert best["trial"] == 1
    assert best["knobs"]["learning_rate"] == pytest.approx(3e-3 / 8)
    diagnosed = autotune("diagnose", str(folder), "--format", "json", cwd=folder)
    assert diagnosed.returncode == 1  # trial 0 has a FATAL finding
    assert json.loads(diagnosed.stdout)["runs"][0]["findings"]
    assert {"study.jsonl", "study.db", "journal.md", "report.json", "trials"} <= {p.name for p in folder.iterdir()}
    assert (folder / "trials" / "1" / "samples.jsonl").stat().st_size > 0


@pytest.mark.slow
def test_a_second_study_in_the_same_folder_is_refused(study: tuple[Path, str]) -> None:
    before = (study[0] / "study.jsonl").read_bytes()
    done = autotune("study", "start", "--dir", str(study[0]), cwd=study[0])
    assert done.returncode == 2
    assert "already holds a study" in done.stderr
    assert (study[0] / "study.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_soon_and_says_what_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    running = subprocess.Popen(
        [*AUTOTUNE, "study", "start", "--dir", "it"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell ignores it for what runs behind it
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "step 10/" in line:
            break
    running.send_signal(number)
    began = time.monotonic()
    _, stderr = running.communicate(timeout=30)
    assert running.returncode == 130
    assert time.monotonic() - began < 20  # a bound against hanging, not a budget
    assert "interrupted; go on with: autotune study resume it" in stderr
    record = read(tmp_path / "it")
    assert record.ended == "interrupted"
    assert record.trials[0].state is State.RUNNING  # it broke off: resume takes it up again
    assert record.trials[0].evaluations


# ---- what the user can put right: one line, exit status 2, nothing overwritten


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "start", "arithmetic-gpro"], "unknown preset 'arithmetic-gpro'. Did you mean arithmetic-grpo?"),
        (["study", "start", "--start", "learning_rat=1"], "unknown knob 'learning_rat'. Did you mean learning_rate?"),
        (
            ["study", "start", "--start", "learning_rate=1"],
            "learning_rate=1 is outside its space. It takes 1e-06 to 0.01",
        ),
        (["study", "start", "--start", "num_generations=3"], "It takes one of 2, 4, 8, 16, 32"),
        (["study", "start", "--trials", "0"], "--trials 0 is too small. Give 1 or more."),
        (["study", "start", "--seed", "-1"], "--seed -1 is too small. Give 0 or more."),
        (["study", "start", "--sampler", "tpee"], "unknown sampler 'tpee'. Did you mean tpe?"),
        (["study", "start", "--pruner", "medain"], "unknown pruner 'medain'. Did you mean median?"),
        (["study", "start", "--storage", "study.db"], "study.db is no storage. Did you mean sqlite:///study.db?"),
        (["study", "start", "--parallel", "0"], "--parallel 0 is too small"),
        (["study", "start", "--timeout", "nan"], "--timeout nan is no time"),
        (["study", "start", "--space", "learning_rate=1..2"], "--space goes with --command"),
        (["study", "start", "arithmetic-grpo", "--command", "true"], "give a preset or --command, not both"),
        (["study", "resume"], "no studies in autotune-runs"),
        (["study", "resume", "nowhere"], "nowhere is no study"),
        (["study", "stop", "nowhere"], "nowhere is no study"),
        (["study", "export", "nowhere"], "nowhere is no study"),
        (["study", "show", "nowhere"], "nowhere is no study"),
        (["study", "show"], "no studies in autotune-runs"),
        (["study", "best", "."], "is no study"),
        (["train"], "give one of --preset, --study and --model, not none"),
        (["train", "--preset", "arithmetic-grpo", "--model", "m"], "not --preset and --model"),
        (["train", "--preset", "nothing"], "unknown preset 'nothing'"),
        (["train", "--model", "m"], "has no dataset or no reward"),
        (["train", "--preset", "arithmetic-grpo", "--set", "learning_rate=-1"], "outside its space"),
        (["train", "--preset", "arithmetic-grpo", "--reward-bounds", "1"], "is not LOW,HIGH"),
        (["train", "--preset", "arithmetic-grpo", "--reward-bounds", "0,inf"], "Give two finite numbers"),
        (["train", "--preset", "arithmetic-grpo", "--set", "update_epochs=1.5"], "(whole numbers)"),
        (["train", "--preset", "arithmetic-grpo", "--set", "learning_rate=inf"], "outside its space"),
        (["train", "--preset", "arithmetic-grpo", "--set", "loss_type=fancy"], "It takes one of"),
        (["train", "--preset", "arithmetic-grpo", "--completions", "0"], "completions is 0"),
        (["train", "--study", "nowhere"], "nowhere is no study"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = autotune(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AUTOTUNE, "study", "start", "--dir", "it"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),  # a real write that really fails
    )
    assert done.returncode == 2
    assert "File too large. Raise the limit on file sizes" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["study", "start"], ["train", "--preset", "arithmetic-grpo"]])
def test_a_folder_with_anything_in_it_is_left_as_it_is(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "config.json").write_text("mine")
    done = autotune(*command, "--dir", "it", cwd=tmp_path)
    assert done.returncode == 2
    assert "it is not empty. Give another --dir: nothing in it shall be overwritten." in done.stderr
    assert [(p.name, p.read_text()) for p in (tmp_path / "it").iterdir()] == [("config.json", "mine")]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = autotune("study", "start", "--dir", "file/study", cwd=tmp_path)
    assert done.returncode == 2
    assert "file/study" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_study_of_a_newer_version_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.jsonl").write_text('{"v": 99, "type": "study_started"}\n')
    for verb in ("show", "best"):
        done = autotune("study", verb, ".", cwd=tmp_path)
        assert done.returncode == 2
        assert "has version 99, this autotune reads version 1. Upgrade autotune-rl" in done.stderr
        assert done.stderr.count("\n") == 1


def test_one_study_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    from studies.log import StudyLog
    from studies.record import Search
    from studies.spec import load

    for name in ("a", "c"):
        (tmp_path / name).mkdir()
        log = StudyLog(tmp_path / name)
        log.started(load("arithmetic-grpo"), Search())
        log.close()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "study.jsonl").write_text('{"v": 99, "type": "study_started"}\n')
    done = autotune("study", "list", ".", cwd=tmp_path)
    assert done.returncode == 0
    first, second, third = done.stdout.splitlines()
    assert first == "a  0/8 trials  killed  no feasible trial"
    assert second.startswith("b  b/study.jsonl has version 99")
    assert third.startswith("c  0/8 trials")


@pytest.mark.parametrize(("before", "after"), [(signal.SIG_IGN, "SIG_IGN"), (signal.SIG_DFL, "default_int_handler")])
def test_a_closed_terminal_ends_it_but_not_under_nohup(before: signal.Handlers, after: str) -> None:
    code = "import signal as s; from autotune.cli import main; main(['--version']); print(repr(s.getsignal(s.SIGHUP)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, before),
    )
    assert after in done.stdout


def test_without_the_monitor_a_terminal_gets_plain_lines(tmp_path: Path) -> None:
    """In a real terminal, with a Python that does not find textual."""
    import pty

    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'textual' else find(name, *rest)\n"
        "from autotune.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    script = f"{sys.executable} -c 'print(1)'"
    arguments = ["study", "start", "--dir", "it", "--trials", "1", "--objective", "x", "--command", script + " {lr}"]
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments, "--space", "lr=0..1"],
        stdout=theirs, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "the monitor is not installed (pip install 'autotune-rl[tui]')" in done.stderr
    assert "trial 0  because: where the study" in shown
    assert "it logged no x" in done.stderr


def test_looking_at_a_study_needs_no_storage_and_writes_nothing(tmp_path: Path) -> None:
    from studies.log import StudyLog
    from studies.record import Search
    from studies.spec import load

    log = StudyLog(tmp_path)
    log.started(load("arithmetic-grpo"), Search(storage="postgresql://me:***@nowhere/optuna"))
    log.close()
    for verb in ("show", "export"):
        assert autotune("study", verb, ".", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["study.jsonl"]


def test_the_list_counts_trials_that_are_over(tmp_path: Path) -> None:
    from studies.log import StudyLog
    from studies.record import Proposal, Search
    from studies.spec import load

    (tmp_path / "a").mkdir()
    log = StudyLog(tmp_path / "a")
    log.started(load("arithmetic-grpo"), Search())
    for number in range(3):
        log.proposed(number, number, Proposal({}, Origin.START, "the start"))
    log.ended(0, State.COMPLETE, "ran to its end", 0.5, 20.0)
    log.ended(1, State.REFUSED, "somebody refused it", None, 0.0)
    log.close()
    assert autotune("study", "list", ".", cwd=tmp_path).stdout.startswith("a  1/8 trials")
