"""Anyone's command as a trial: scripts that log well, badly, not at all, hang, break down and must be stopped."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from autotune.launch import command as module
from autotune.launch.command import CommandLauncher, CommandTrial, last_line
from diagnostics.errors import UserError
from diagnostics.events import Outcome
from diagnostics.finding import Severity
from diagnostics.readers import events
from studies.command import CommandSpec, write
from studies.trial_log import TrialLog

LOGS = """
    import json, os, sys, time
    log = open(sys.argv[1] + "/log.jsonl", "a", buffering=1)
    def say(step, **values):
        print(json.dumps({"step": step, **values}), file=log)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a script as a trial; all that it starts is ended with the test."""
    with CommandLauncher(2) as launcher:

        def start(script: str, *, attempt: int = 1, arguments: str = "{dir}", **spec: object) -> CommandTrial:
            (tmp_path / "script.py").write_text(textwrap.dedent(LOGS) + textwrap.dedent(script))
            directory = tmp_path / "trial"
            directory.mkdir(exist_ok=True)
            words = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'script.py'))} {arguments}"
            settings = {"objective": "score", "folder": str(tmp_path), **spec}
            write(CommandSpec(words, **settings), directory)  # type: ignore[arg-type]
            return launcher.start(directory, attempt=attempt)

        yield start


def ended(trial: CommandTrial) -> TrialLog:
    """The events of a trial that ended by itself."""
    deadline = time.monotonic() + 60
    while trial.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log = TrialLog(trial.directory, "score")
    log.poll()
    assert log.ended is not None
    return log


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- what it is told


def test_a_command_gets_its_values_folder_and_environment(start, tmp_path):
    trial = start(
        """
        names = ("AUTOTUNE_TRIAL_DIR", "AUTOTUNE_ATTEMPT", "AUTOTUNE_SEED")
        with open(sys.argv[1] + "/told.json", "w") as file:
            json.dump([sys.argv[1:], os.getcwd(), [os.environ[name] for name in names]], file)
        say(0, score=1)
        """,
        arguments="{dir} --lr={learning_rate} 'two words' {{x}} {seed}/{attempt}",
        knobs={"learning_rate": 1e-5},
        seed=7,
        attempt=3,
    )
    ended(trial)
    folder = str(tmp_path / "trial")
    arguments, where, environment = json.loads((tmp_path / "trial" / "told.json").read_text())
    assert arguments == [folder, "--lr=1e-05", "two words", "{x}", "7/3"]
    assert (where, environment) == (str(tmp_path), [folder, "3", "7"])


# ---- what it logs


def test_rows_become_events_that_are_diagnosed(start):
    log = ended(
        start(
            """
            for i in range(40):
                say(i, score=i, reward_mean=0.5 - i / 50, **{"kl.reference.k3.token": 0.001 * 1.3 ** i})
            """,
            knobs={"learning_rate": 1e-3, "mine": 4},
            stop_on=None,
        )
    )
    assert [(e.step, e.completions, e.value) for e in log.evaluations] == [(i, i, float(i)) for i in range(40)]
    assert log.settings == {"learning_rate": 1e-3}
    assert log.curves["reward_mean"][0] == (0, 0.5)
    assert log.findings["KL002"].severity >= Severity.ERROR
    assert log.ended.outcome is Outcome.FINISHED
    assert any("log.jsonl" in note for note in log.notes)


def test_a_finding_at_the_limit_ends_the_command(start):
    trial = start(
        """
        for i in range(40):
            say(i, reward_mean=0.5 - i / 50, **{"kl.reference.k3.token": 0.001 * 1.3 ** i})
        time.sleep(100)
        """,
        stop_on=Severity.ERROR,
    )
    log = ended(trial)
    assert log.ended.outcome is Outcome.STOPPED
    assert log.ended.reason == "KL002 kl_explosion at step 31"
    assert trial.poll() == 128 + signal.SIGTERM


def test_a_trainer_state_is_followed_from_checkpoint_to_checkpoint(start):
    log = ended(
        start(
            """
            def save(folder, steps):
                row = {"loss": 1.0, "reward": 0.5, "frac_reward_zero_std": 0.0, "kl": 0.01}
                rows = [{"step": i, **row} for i in steps]
                os.makedirs(sys.argv[1] + folder, exist_ok=True)
                with open(sys.argv[1] + folder + "/trainer_state.json", "w") as file:
                    json.dump({"log_history": rows, "max_steps": 20}, file)
            save("/out/checkpoint-10", range(1, 11))
            time.sleep(0.01)
            save("/out", range(1, 21))
            """,
            objective="reward",
        )
    )
    objective = TrialLog(log.directory, "reward")
    objective.poll()
    assert [e.step for e in objective.evaluations] == list(range(1, 21))
    assert log.max_steps == 20
    assert {"reward_mean", "zero_std_share", "kl.reference.unknown.token", "total_loss"} <= log.curves.keys()
    assert any("trl-grpo" in note for note in log.notes)


def test_events_of_the_script_itself_are_left_alone(start, tmp_path):
    home = str(Path(module.__file__).parents[2])
    log = ended(
        start(
            f"""
            sys.path.append({home!r})
            from pathlib import Path
            from diagnostics.events import *
            events = EventLog(Path(os.environ["AUTOTUNE_TRIAL_DIR"]) / "events.jsonl")
            events.emit(RunStarted(0, "trl-grpo", "1.16.0", {{}}))
            events.emit(MetricsLogged(1, {{"reward_mean": 0.5}}))
            say(1, reward=9.0)
            events.emit(RunEnded(1, Outcome.FINISHED))
            """,
            objective="reward",
        )
    )
    assert log.curves == {"reward_mean": [(1, 0.5)]}
    assert len((tmp_path / "trial" / "events.jsonl").read_text().splitlines()) == 3


def test_a_script_whose_own_events_break_off_has_failed(start):
    home = str(Path(module.__file__).parents[2])
    trial = start(
        f"""
        sys.path.append({home!r})
        from pathlib import Path
        from diagnostics.events import *
        events = EventLog(Path(os.environ["AUTOTUNE_TRIAL_DIR"]) / "events.jsonl")
        events.emit(RunStarted(0, "trl-grpo", "1.16.0", {{}}))
        events.emit(MetricsLogged(1, {{"score": 0.5}}))
        sys.exit("out of luck")
        """
    )
    log = ended(trial)
    assert (log.ended.outcome, log.ended.reason) == (Outcome.FAILED, "exit status 1: out of luck")


def test_a_second_attempt_tells_nothing_of_the_first(start):
    script = "for i in range(3): say(i, score=10 * int(sys.argv[2]) + i)"
    ended(start(script, arguments="{dir} {attempt}"))
    log = ended(start(script, arguments="{dir} {attempt}", attempt=2))
    assert [e.value for e in log.evaluations] == [20, 21, 22]
    assert log.attempt == 2


def test_a_second_attempt_may_write_the_same_log_over_again(start):
    script = """
        with open(sys.argv[1] + "/log.jsonl", "w") as log:
            for i in range(3):
                print(json.dumps({"step": i, "score": i}), file=log)
    """
    for attempt in (1, 2):
        log = ended(start(script, attempt=attempt))
        assert (log.attempt, [e.value for e in log.evaluations]) == (attempt, [0, 1, 2])


@pytest.mark.parametrize(
    "script",
    [
        """
        with open(sys.argv[1] + "/progress.csv", "w") as file:
            print("step,score,train/kl", file=file)
            for i in range(4): print(f"{i},{i / 10},0.1", file=file)
        """,
        """
        print("Loading the model ...")
        for i in range(4): print({"step": i, "score": str(i / 10), "kl": 0.1})
        """,
        """
        for i in range(4): print(f"step {i} | score: {i / 10} | kl: 0.1")
        """,
    ],
    ids=["csv", "dicts", "lines"],
)
def test_any_log_that_diagnose_reads_is_read(start, script):
    log = ended(start("log.close(); os.remove(log.name)\n" + textwrap.dedent(script)))
    assert log.ended.outcome is Outcome.FINISHED, log.ended.reason
    assert [(e.step, e.value) for e in log.evaluations] == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)]
    assert "kl.reference.unknown" in log.curves


def test_a_table_is_followed_while_it_grows_and_told_anew_when_written_anew(start):
    script = """
        log.close(); os.remove(log.name)
        file = open(sys.argv[1] + "/progress.csv", "w", buffering=1)
        print("step,score", file=file)
        for i in range(3):
            print(f"{i},{ATTEMPT + i / 10}", file=file)
            time.sleep(0.3)
        time.sleep(1.5)
    """
    first = start(script.replace("ATTEMPT", "1"))
    seen = TrialLog(first.directory, "score")

    def shown() -> bool:
        first.poll()
        seen.poll()
        return len(seen.evaluations) >= 2

    until(shown)
    assert first.poll() is None  # told while it runs
    assert [e.value for e in ended(first).evaluations] == [1.0, 1.1, 1.2]
    again = ended(start(script.replace("ATTEMPT", "2"), attempt=2))
    assert [e.value for e in again.evaluations] == [2.0, 2.1, 2.2]


def test_of_a_table_that_a_second_attempt_writes_on_the_new_rows_are_told(start):
    script = """
        log.close(); os.remove(log.name)
        new = not os.path.exists(sys.argv[1] + "/progress.csv")
        file = open(sys.argv[1] + "/progress.csv", "a", buffering=1)
        if new: print("step,score", file=file)
        for i in range(ROWS): print(f"{i},{ATTEMPT + i / 10}", file=file)
    """
    first = ended(start(script.replace("ATTEMPT", "1").replace("ROWS", "5")))
    assert [e.value for e in first.evaluations] == [1.0, 1.1, 1.2, 1.3, 1.4]
    again = ended(start(script.replace("ATTEMPT", "2").replace("ROWS", "3"), attempt=2))
    assert [e.value for e in again.evaluations] == [2.0, 2.1, 2.2]


def test_steps_of_a_table_that_begin_anew_are_past_and_counted(start):
    log = ended(
        start(
            """
            log.close(); os.remove(log.name)
            file = open(sys.argv[1] + "/progress.csv", "w", buffering=1)
            print("step,score", file=file)
            for i in range(5): print(f"{i},{i / 10}", file=file)
            time.sleep(2.5)
            for i in range(3): print(f"{i},9.0", file=file)
            """
        )
    )
    assert [e.value for e in log.evaluations] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert "3 rows of steps that were past left out" in log.ended.reason


def test_what_is_printed_before_another_log_is_written_is_no_log(start):
    script = """
        for i in range(4): print({"step": i, "score": 9.0, "kl": 1.0}, flush=True)
        time.sleep(2.5)
        say(0, score=0.5)
    """
    assert [e.value for e in ended(start(script)).evaluations] == [0.5]


def test_what_is_printed_is_no_log_where_another_is_written(start):
    log = ended(start("for i in range(3): print({'step': i, 'score': 9.0, 'kl': 1.0}); say(i, score=0.5)"))
    assert [e.value for e in log.evaluations] == [0.5, 0.5, 0.5]


def test_the_log_may_lie_where_it_is_said_to(start, tmp_path):
    log = ended(
        start(
            """
            for i in range(3): say(i, score=1)
            with open(sys.argv[1] + "/../elsewhere-5.log", "w") as file:
                print(json.dumps({"_step": 0, "score": 5}), file=file)
            """,
            log="../elsewhere-{seed}.log",
            seed=5,
        )
    )
    assert [e.value for e in log.evaluations] == [5]


def test_what_is_left_out_is_said_at_the_end(start):
    log = ended(
        start(
            """
            say(0, score=1), say(5, score=2), say(4, score=3), say(5, score=4)
            print("nonsense", file=log)
            print('{"epoch": 1}', file=log)
            open(sys.argv[1] + "/other.jsonl", "w").write('{"step": 1, "score": 1}')
            """
        )
    )
    assert [e.step for e in log.evaluations] == [0, 5, 5]
    assert log.ended.reason == (
        "1 line of log.jsonl could not be read; 1 line of log.jsonl had no step or no number; log.jsonl is followed, "
        "not other.jsonl: --log chooses; 1 row of steps that were past left out"
    )
    assert log.ended.reason in events.read(log.directory).notes


# ---- bad input


def test_a_script_that_logs_nothing_is_told_what_autotune_reads(start):
    trial = start("log.close(); os.remove(log.name); open(sys.argv[1] + '/notes.txt', 'w')")
    log = ended(trial)
    assert log.ended.outcome is Outcome.FAILED
    assert trial.poll() == 0
    assert trial.last_words() == log.ended.reason
    assert log.ended.reason.startswith("it logged no score: it wrote 1 file: notes.txt; what autotune reads: ")
    assert "trainer_state.json" in log.ended.reason


def test_a_script_that_writes_no_file_at_all(start):
    log = ended(start("log.close(); os.remove(log.name)"))
    assert log.ended.reason.startswith("it logged no score: it wrote no file in {dir}; what autotune reads: ")


def test_a_log_without_steps_is_no_log(start):
    log = ended(start("for i in range(3): print(json.dumps({'score': i}), file=log)"))
    assert "log.jsonl; 3 lines of log.jsonl had no step or no number" in log.ended.reason


def test_a_script_that_logs_something_else_is_told_what_it_logged(start):
    log = ended(start("say(0, loss=1.0, acc=0.5)"))
    assert log.ended.outcome is Outcome.FAILED
    assert log.ended.reason == "it logged no score: log.jsonl has loss, acc"


def test_a_script_that_exits_with_an_error(start):
    trial = start("say(0, score=1); print('\\x1b[31mno memory\\x1b[0m left\\x07'); sys.exit(3)")
    log = ended(trial)
    assert trial.poll() == 3
    assert (log.ended.outcome, log.ended.reason) == (Outcome.FAILED, "exit status 3: no memory left\\x07")
    assert trial.last_words() == log.ended.reason


def test_a_script_that_is_killed(start):
    log = ended(start("os.kill(os.getpid(), 9)"))
    assert log.ended.reason == "ended by SIGKILL (out of memory?): it wrote nothing"


def test_a_script_that_hangs_is_ended(start, monkeypatch):
    monkeypatch.setattr(module, "ALIVE_SECONDS", 0.05)
    trial = start("say(0, score=1); time.sleep(100)", stall_minutes=0.5 / 60)
    log = ended(trial)
    assert log.ended.outcome is Outcome.FAILED
    assert trial.last_words().startswith("it wrote nothing for 0.00833333 minutes and was taken to hang")


@pytest.mark.slow
def test_a_slow_script_that_says_something_now_and_then_is_left_alone(start, monkeypatch):
    monkeypatch.setattr(module, "ALIVE_SECONDS", 0.05)
    log = ended(start("for i in range(50): time.sleep(0.1); print(i)\nsay(0, score=1)", stall_minutes=4 / 60))
    assert log.ended.outcome is Outcome.FINISHED


def test_a_program_that_is_not_there(start, tmp_path):
    (tmp_path / "trial").mkdir()
    write(CommandSpec("no-such-program {dir}", "score"), tmp_path / "trial")
    with pytest.raises(UserError, match="there is no program no-such-program"), CommandLauncher() as launcher:
        launcher.start(tmp_path / "trial")


def test_two_trials_at_once_do_not_share_a_log(start, tmp_path):
    start("time.sleep(100)", log=str(tmp_path / "log.jsonl"))
    with pytest.raises(UserError, match="would share"):
        start("time.sleep(100)", log=str(tmp_path / "log.jsonl"))


# ---- its end


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


STUBBORN = """
    import signal, subprocess
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    say(0, score=1, pid=os.getpid(), child=child.pid)
    time.sleep(100)
"""


def pids(directory: Path) -> list[int]:
    path = directory / "log.jsonl"
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    row = json.loads(path.read_text().splitlines()[-1])
    return [row["pid"], row["child"]]


@pytest.mark.slow
def test_a_command_that_will_not_end_is_killed_with_its_children(start):
    trial = start(STUBBORN)
    both = pids(trial.directory)
    trial.stop()
    until(lambda: not any(map(alive, both)))
    log = TrialLog(trial.directory, "score")
    log.poll()
    assert (log.ended.outcome, log.ended.reason) == (Outcome.STOPPED, "asked to stop")
    assert [e.value for e in log.evaluations] == [1]


def test_children_that_outlive_the_command_are_ended(start):
    trial = start(
        """
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
        say(0, score=1, pid=os.getpid(), child=child.pid)
        """
    )
    ended(trial)
    until(lambda: not any(map(alive, pids(trial.directory))))


def test_to_be_asked_is_to_get_sigterm(start):
    trial = start(
        """
        import signal
        def leave(*_):
            say(1, score=7)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        say(0, score=1)
        time.sleep(100)
        """
    )
    until(lambda: (trial.directory / "log.jsonl").exists() and "score" in (trial.directory / "log.jsonl").read_text())
    trial.ask_to_stop()
    trial.ask_to_stop()
    log = ended(trial)
    assert trial.poll() == 0
    assert log.ended.outcome is Outcome.STOPPED
    assert log.evaluations[-1].value == 7  # what it said last is told


@pytest.mark.slow
@pytest.mark.parametrize("paused", [False, True])
def test_a_command_ends_with_the_process_that_started_it(tmp_path, paused):
    (tmp_path / "script.py").write_text(textwrap.dedent(LOGS) + textwrap.dedent(STUBBORN))
    write(CommandSpec(f"{shlex.quote(sys.executable)} {tmp_path}/script.py {{dir}}", "score"), tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from autotune.launch.command import CommandLauncher\n"
        f"trial = CommandLauncher().start(Path({str(tmp_path)!r}))\n"
        f"log = Path({str(tmp_path / 'log.jsonl')!r})\n"
        "while not (log.exists() and log.stat().st_size): time.sleep(0.02)\n"
        f"{'trial.pause()' if paused else ''}\n"
        "time.sleep(100)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(module.__file__).parents[2])
    both = pids(tmp_path)
    if paused:
        until(lambda: all(map(stands_still, both)))
    parent.kill()
    parent.wait()
    until(lambda: not any(map(alive, both)))


# ---- pausing


COUNTS = """
    import itertools, subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    say(0, score=1, pid=os.getpid(), child=child.pid)
    for i in itertools.count():
        open(sys.argv[1] + "/count", "w").write(str(i))
        if os.path.exists(sys.argv[1] + "/enough"):
            break
        time.sleep(0.01)
"""


def stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_paused_command_stands_still_with_its_children_and_goes_on(start, monkeypatch):
    monkeypatch.setattr(module, "ALIVE_SECONDS", 0.0)
    trial = start(COUNTS, stall_minutes=1.0)
    both = pids(trial.directory)
    trial.pause()
    trial.pause()
    until(lambda: all(map(stands_still, both)))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 600)  # long after what would be a hang
    assert trial.poll() is None
    assert trial._why == ""
    assert not stands_still(trial.pid)  # whoever looks after it does so
    trial.go_on()
    trial.go_on()
    assert trial.poll() is None
    assert trial._why == ""
    monkeypatch.undo()
    until(lambda: not any(map(stands_still, both)))
    (trial.directory / "enough").touch()
    assert ended(trial).ended.outcome is Outcome.FINISHED


def test_a_paused_command_can_be_asked_to_end(start):
    trial = start(
        """
        import signal
        def leave(*_):
            say(1, score=7)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        say(0, score=1, pid=os.getpid(), child=os.getpid())
        time.sleep(100)
        """
    )
    (pid, _) = pids(trial.directory)
    trial.pause()
    until(lambda: stands_still(pid))
    trial.ask_to_stop()
    trial.pause()  # which comes too late
    log = ended(trial)
    assert (log.ended.outcome, log.evaluations[-1].value) == (Outcome.STOPPED, 7)


def test_a_paused_command_that_is_killed_has_ended(start):
    trial = start(COUNTS)
    both = pids(trial.directory)
    trial.pause()
    until(lambda: all(map(stands_still, both)))
    os.kill(both[0], signal.SIGKILL)
    log = ended(trial)
    assert log.ended.reason.startswith("ended by SIGKILL")
    until(lambda: not any(map(alive, both)))
    trial.go_on()


# ---- its last words


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", ""),
        ("one\ntwo\n\n  \n", "two"),
        ("one\ntorn", "torn"),
        ("ValueError: boom\n 10%|█  | 1/10 [00:01]\r 20%|██ | 2/10 [00:02]\r", "ValueError: boom"),
        ("start\n\r 10%|█  | 1/10\r100%|███| 10/10 [00:02<00:00, 4.2it/s]\n", "start"),
        (" 10%|█  | 1/10\rCUDA out of memory\n", "CUDA out of memory"),
        (" 50%|██ | 5/10\rTraceback:\nKeyError: 'x'\r\n", "KeyError: 'x'"),
        ("accuracy 50% of 3/4\n", "accuracy 50% of 3/4"),  # no carriage return, so it moved nowhere
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\n", "red \\x1b]0;title\\x07"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_last_words_are_no_progress_bar(output, expected):
    assert last_line(output) == expected
