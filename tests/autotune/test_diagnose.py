"""`autotune diagnose` as a person and a script meet it: real processes, their exit codes, what they print where."""

import errno
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.cli import main
from diagnostics import logs
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted

AUTOTUNE = [sys.executable, "-P", "-m", "autotune", "diagnose"]
EVIL = "\x1b[31mred\x1b]0;title\x07\r\u202e"


def diagnose(*arguments: str | Path, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AUTOTUNE, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a call that printed nothing else and ended with 2."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("autotune: error: ")
    return line


def words(text: str) -> str:
    return " ".join(text.split())


def rows(n: int = 60, *, bad: int = -1, **more: float) -> list[dict[str, float]]:
    """Rows of a healthy run, but for a gradient that is not finite at step `bad`."""
    return [
        {"step": i, "reward_mean": 0.2 + 0.01 * (i % 7), "grad_norm": float("nan") if i == bad else 1.0, **more}
        for i in range(n)
    ]


def write(path: Path, entries: list[dict[str, float]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return write(tmp_path / "healthy.jsonl", rows())


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    """NUM001 at ERROR, and nothing worse."""
    return write(tmp_path / "sick.jsonl", rows(bad=40))


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Names that mean nothing to us; `zzz_a` is a gradient norm that is not finite at step 40."""
    return write(
        tmp_path / "strange.jsonl", [{"step": r["step"], "zzz_a": r["grad_norm"], "zzz_b": 1.0} for r in rows(bad=40)]
    )


def test_a_healthy_run_is_clean_and_a_sick_one_is_not(healthy: Path, sick: Path, tmp_path: Path) -> None:
    clean, found = diagnose(healthy, cwd=tmp_path), diagnose(sick, cwd=tmp_path)
    assert (clean.returncode, clean.stderr, found.returncode, found.stderr) == (0, "", 1, "")
    assert "No findings" in clean.stdout
    assert "NUM001 non_finite  at step 40" in found.stdout
    assert "\x1b" not in clean.stdout + found.stdout


# ---- what cannot be diagnosed: exit 2 and one line


def test_no_such_path_names_the_nearest(healthy: Path, tmp_path: Path) -> None:
    assert "there is no healty.jsonl. Did you mean healthy.jsonl?" in one_line(diagnose("healty.jsonl", cwd=tmp_path))


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert "empty.jsonl is empty" in one_line(diagnose("empty.jsonl", cwd=tmp_path))


def test_an_unknown_format_and_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(random.Random(0).randbytes(20_000))
    line = one_line(diagnose("model.bin", cwd=tmp_path))
    assert "model.bin is no log that autotune reads. Autotune reads " in line and "CSV" in line


def test_no_permission(healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """In this process, because root may read everything."""
    opened = Path.open

    def refused(path: Path, *args, **options):
        if path == healthy:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert main(["diagnose", str(healthy)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"autotune: error: cannot read {healthy}: Permission denied. See that you may read it.\n"
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n2,3\n")
    assert main(["diagnose", str(tmp_path)]) == 0
    assert "healthy.jsonl" in capsys.readouterr().out


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "f" / "g").mkdir(parents=True)
    (tmp_path / "f" / "notes.txt").write_text("nothing of the kind")
    assert "nothing to diagnose in f" in one_line(diagnose("f", cwd=tmp_path))


def test_nothing_mapped_says_the_names_and_how_to_map_them(strange: Path, tmp_path: Path) -> None:
    done = diagnose("strange.jsonl", cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert (
        "nothing could be checked in strange.jsonl" in line and "(zzz_a, zzz_b)" in line and "--map NAME=metric" in line
    )
    assert "Nothing could be checked" in done.stdout and "No findings" not in done.stdout
    assert "zzz_a" in done.stdout


def test_what_is_mapped_is_diagnosed(strange: Path, tmp_path: Path) -> None:
    by_hand = diagnose("strange.jsonl", "--map", "zzz_a=grad_norm", cwd=tmp_path)
    (tmp_path / "names.toml").write_text('[metrics]\nzzz_a = "grad_norm"\n')
    by_file = diagnose("strange.jsonl", "--map", "names.toml", cwd=tmp_path)
    assert by_hand.returncode == by_file.returncode == 1
    assert "NUM001" in by_hand.stdout and by_hand.stdout == by_file.stdout
    assert "grad_norm (zzz_a in the log)" in by_hand.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--map", "zzz_a=grad_nrm"], "Did you mean grad_norm"),
        (["--map", "gone.toml"], "gone.toml cannot be read"),
        (["--only", "NUM01"], "there is no rule NUM01. Did you mean NUM001 non_finite?"),
        (["--ignore", "KL002,NUM02"], "there is no rule NUM02."),
        (["--folow"], "unknown option --folow. Did you mean --follow?"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], says: str, strange: Path, tmp_path: Path) -> None:
    assert says in one_line(diagnose("strange.jsonl", *arguments, cwd=tmp_path))


# ---- several


@pytest.mark.slow
def test_of_several_those_that_can_be_read_are_diagnosed_and_the_others_told(
    healthy: Path, sick: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").touch()
    done = diagnose("healthy.jsonl", "gone.jsonl", "sick.jsonl", "empty.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "NUM001" in done.stdout
    assert "2 runs by their worst finding: 1 error, 1 none. 2 could not be read." in words(done.stdout)
    assert [("gone.jsonl" in line, "empty.csv" in line) for line in done.stderr.splitlines()] == [
        (True, False),
        (False, True),
    ]
    assert diagnose("healthy.jsonl", "sick.jsonl", cwd=tmp_path).returncode == 1
    assert diagnose("healthy.jsonl", "healthy.jsonl", cwd=tmp_path).stdout.count("healthy.jsonl") == 1
    both = json.loads(diagnose("healthy.jsonl", ".", "--format", "json", cwd=tmp_path).stdout)
    assert [run["source"] for run in both["runs"]] == ["healthy.jsonl", "sick.jsonl"]


def test_a_folder_of_many_things_lists_each_one(healthy: Path, sick: Path, tmp_path: Path) -> None:
    write(tmp_path / "deep" / "er" / "third.jsonl", rows())
    (tmp_path / "empty.csv").touch()
    (tmp_path / "noise.txt").write_text("nothing of the kind")
    done = diagnose(".", cwd=tmp_path)
    table = done.stdout[done.stdout.index("worst finding") :]
    assert done.returncode == 1, "what lies in a folder unasked, such as an empty file, is listed and no error"
    for cells in (
        ["healthy.jsonl", "59", "none"],
        ["sick.jsonl", "59", "ERROR", "NUM001", "non_finite"],
        ["deep/er/third.jsonl", "59", "none"],
        ["empty.csv", "-", "not", "read:", "empty"],
    ):
        assert cells in [line.split() for line in table.splitlines()]
    assert "3 runs by their worst finding: 1 error, 2 none. 1 could not be read." in words(table)
    assert "noise.txt" in table


def test_a_folder_of_logs_with_names_that_nobody_knows_does_not_pass(strange: Path, tmp_path: Path) -> None:
    write(tmp_path / "more.jsonl", [{"step": i, "zzz_c": 1.0} for i in range(9)])
    done = diagnose(".", cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "nothing could be checked in any of the 2 logs in ." in line
    assert "2 runs by their worst finding: 2 in which nothing could be checked." in words(done.stdout)
    write(tmp_path / "good.jsonl", rows())
    assert diagnose(".", cwd=tmp_path).returncode == 0


def test_all_as_json(healthy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    done = diagnose(".", "--format", "json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert [run["source"] for run in document["runs"]] == ["healthy.jsonl"]
    assert document["unread"] == [{"source": "empty.csv", "reason": "empty"}]


# ---- --only, --ignore


def test_what_is_ignored_is_no_finding_and_is_said(sick: Path, tmp_path: Path) -> None:
    done = diagnose("sick.jsonl", "--ignore", "num001", cwd=tmp_path)
    assert done.returncode == 0
    assert "NUM001  left out as asked, though it found: error at step 40" in done.stdout
    run = json.loads(diagnose("sick.jsonl", "--ignore", "KL002,NUM001", "--format=json", cwd=tmp_path).stdout)["runs"][
        0
    ]
    assert not run["findings"] and "NUM001" in {skip["code"] for skip in run["skips"]}


def test_what_looks_wrong_and_is_not_is_explained_when_asked(tmp_path: Path) -> None:
    noise = [{"step": step, "kl.reference.k1.token": 0.02 if step % 7 else -0.001} for step in range(60)]
    write(tmp_path / "noise.jsonl", noise)
    brief, told = diagnose("noise.jsonl", cwd=tmp_path), diagnose("noise.jsonl", "--verbose", cwd=tmp_path)
    assert (brief.returncode, told.returncode) == (0, 0)
    assert "1 thing in this run looks wrong and is not: autotune diagnose --verbose" in words(brief.stdout)
    assert "is below zero at 9 of 60 points" in words(told.stdout)
    followed = diagnose("-", "--follow", "--verbose", cwd=tmp_path, stdin=(tmp_path / "noise.jsonl").read_text())
    assert "is below zero at 9 of 60 points" in words(followed.stdout)
    assert "is below zero at 9 of 60 points" in diagnose("noise.jsonl", "--format=json", cwd=tmp_path).stdout


def test_only_some_rules(sick: Path, tmp_path: Path) -> None:
    assert diagnose("sick.jsonl", "--only", "GRD002", "--only", "ENT001", cwd=tmp_path).returncode == 0
    done = diagnose("sick.jsonl", "--only", "non_finite", cwd=tmp_path)
    assert done.returncode == 1
    assert "left out as asked" in words(done.stdout)


@pytest.mark.slow
def test_rules_asked_for_that_cannot_be_checked_do_not_pass(sick: Path, tmp_path: Path) -> None:
    for more in ([], ["--follow"]):
        done = diagnose("-", "--only", "ENT001", *more, cwd=tmp_path, stdin=sick.read_text())
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert "none of the rules asked for could be checked in standard input: ENT001 needs entropy.token" in line
        assert "No findings" not in done.stdout and "Nothing could be checked" in done.stdout


# ---- standard input and --follow


def test_standard_input(sick: Path, tmp_path: Path) -> None:
    done = diagnose("-", cwd=tmp_path, stdin=sick.read_text())
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("standard input\n")
    assert tmp_path.name not in done.stdout and "/tmp" not in done.stdout
    assert "standard input is empty" in one_line(diagnose("-", cwd=tmp_path, stdin=""))


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_standard_input_that_cannot_be_read(follow: list[str], tmp_path: Path) -> None:
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *AUTOTUNE, *follow, "-"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert "standard input is closed. Pipe a log" in one_line(closed)
    with (tmp_path / "other-way.txt").open("wb") as written:
        done = subprocess.run(
            [*AUTOTUNE, *follow, "-"],
            stdin=written, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
    assert "cannot be read to its end: Bad file descriptor" in one_line(done)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_an_empty_path_is_not_the_current_folder(follow: list[str], healthy: Path, tmp_path: Path) -> None:
    assert "the path of a log is empty. Give a file" in one_line(diagnose(*follow, healthy.name, "", cwd=tmp_path))


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_closed_stdout_changes_no_exit_code(follow: list[str], sick: Path, tmp_path: Path) -> None:
    for options in (follow, [*follow, "--format=json"]):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *AUTOTUNE, *options, "-"],
            input=sick.read_text(), stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "")


def heeding_ctrl_c() -> None:
    """A process that tests started in the background of a shell pass on would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Following:
    """`autotune diagnose --follow`, and what it has said so far."""

    def __init__(self, *arguments: str, cwd: Path, stdin: int = subprocess.DEVNULL) -> None:
        self.out = cwd / "said.txt"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*AUTOTUNE, "--follow", *arguments], cwd=cwd, preexec_fn=heeding_ctrl_c,
                stdin=stdin, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def until(self, said: str, seconds: float = 30) -> str:
        """All that was said once `said` is among it."""
        end = time.monotonic() + seconds
        while said not in self.out.read_text():
            assert time.monotonic() < end, self.out.read_text()
            assert self.process.poll() is None or said in self.out.read_text(), self.out.read_text()
            time.sleep(0.05)
        return self.out.read_text()


@pytest.fixture
def following(tmp_path: Path) -> Iterator[list[Following]]:
    started: list[Following] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.wait()


def append(path: Path, entries: list[dict[str, float]]) -> None:
    with path.open("a") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.mark.slow
def test_a_finding_is_told_while_the_log_is_written_and_ctrl_c_ends_it_with_the_report(
    tmp_path: Path, following: list[Following]
) -> None:
    log = write(tmp_path / "log.jsonl", rows(30))
    one = Following("log.jsonl", cwd=tmp_path)
    following.append(one)
    append(log, rows(bad=40)[30:42])
    said = one.until("ERROR NUM001")
    assert "ERROR NUM001 non_finite at step 40: grad_norm is nan at step 40" in said
    assert "rules could be checked" not in said
    append(log, rows(60)[42:])
    time.sleep(1)
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(30) == 130
    said = one.out.read_text()
    assert said.count("ERROR NUM001") == 1, "told once"
    assert "last step 59" in said and "rules could be checked" in said


@pytest.mark.slow
def test_a_log_that_says_it_ended_ends_it(tmp_path: Path, following: list[Following]) -> None:
    log = EventLog(tmp_path / "run" / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {}))
    for row in rows(20, bad=12):
        log.emit(MetricsLogged(int(row["step"]), {"grad_norm": row["grad_norm"]}))
    write(tmp_path / "other.jsonl", rows(20))
    one = Following("run", cwd=tmp_path)
    following.append(one)
    one.until("ERROR NUM001")
    log.emit(RunEnded(19, Outcome.FINISHED))
    log.close()
    assert one.process.wait(30) == 1
    assert "rules could be checked" in one.out.read_text()


@pytest.mark.slow
def test_several_logs_are_followed_and_each_line_says_whose_it_is(tmp_path: Path, following: list[Following]) -> None:
    write(tmp_path / "a.jsonl", rows(30))
    write(tmp_path / "folder" / "c.jsonl", rows(30))
    (tmp_path / "folder" / "empty.csv").touch()
    log = tmp_path / "b.jsonl"
    log.touch()
    one = Following("a.jsonl", "b.jsonl", "gone.jsonl", "folder", cwd=tmp_path)
    following.append(one)
    one.until("autotune: waiting: b.jsonl is empty\n")
    one.until("autotune: error: there is no gone.jsonl.")
    one.until("autotune: not followed: folder/empty.csv: empty\n")
    time.sleep(1.2)  # some more looks at what is empty yet
    append(log, rows(30, bad=12))
    one.until("b.jsonl  ERROR NUM001")
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(30) == 130
    said = one.out.read_text()
    assert "3 runs by their worst finding: 1 error, 2 none." in words(said)
    assert said.count("waiting") == 1


@pytest.mark.slow
def test_a_log_that_cannot_be_read_takes_no_other_report_with_it(
    healthy: Path, tmp_path: Path, following: list[Following]
) -> None:
    later = {"v": 1, "type": "of_a_later_version", "seq": 0, "attempt": 1, "step": 0, "time": 0}
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "events.jsonl").write_text(json.dumps(later) + "\n")
    one = Following("later", healthy.name, cwd=tmp_path)
    following.append(one)
    time.sleep(2)
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(30) == 130
    said = one.out.read_text()
    assert "autotune: error: later: later/events.jsonl holds no event: unknown event type" in said
    assert "healthy.jsonl" in said and "last step 59" in said


@pytest.mark.slow
def test_a_pipe_is_followed_to_its_end(tmp_path: Path, following: list[Following]) -> None:
    one = Following("-", "--format", "json", cwd=tmp_path, stdin=subprocess.PIPE)
    following.append(one)
    assert one.process.stdin is not None
    lines = [json.dumps(row) + "\n" for row in rows(bad=40)]
    one.process.stdin.write("".join(lines[:50]).encode())
    one.process.stdin.flush()
    one.until('"finding"')
    one.process.stdin.write("".join(lines[50:]).encode())
    one.process.stdin.close()
    assert one.process.wait(30) == 1
    objects = [json.loads(line) for line in one.out.read_text().splitlines() if line.startswith("{")]
    assert [o["type"] for o in objects] == ["finding", "report"]
    assert objects[0]["finding"]["code"] == "NUM001" and objects[0]["source"] == "standard input"
    assert objects[1]["steps"] == 59 and objects[1]["version"] == 4


# ---- a second look


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the logs that are read."""
    seen: list[str] = []
    real = logs.read
    monkeypatch.setattr(logs, "read", lambda source, mine: seen.append(source.name) or real(source, mine))
    return seen


def test_every_map_counts(strange: Path, tmp_path: Path) -> None:
    done = diagnose("strange.jsonl", "--map=zzz_a=grad_norm", "--map=zzz_b=reward_mean", "--format=json", cwd=tmp_path)
    assert json.loads(done.stdout)["runs"][0]["names"] == {"grad_norm": "zzz_a", "reward_mean": "zzz_b"}


def test_what_is_ignored_is_not_told_while_following_either(sick: Path, tmp_path: Path) -> None:
    done = diagnose("-", "--follow", "--ignore", "NUM001", cwd=tmp_path, stdin=sick.read_text())
    assert done.returncode == 0
    assert "ERROR" not in done.stdout
    assert "NUM001  left out as asked, though it found: error at step 40" in done.stdout


def test_a_second_look_reads_nothing_and_shows_the_same(
    sick: Path, read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for arguments in ([], [], ["--no-cache"], [], ["--ignore", "KL002"], ["--map", "zzz=grad_norm"]):
        assert main(["diagnose", str(sick), *arguments]) == 1
        shown.append(capsys.readouterr().out)
    assert read == [str(sick)] * 3, "the first, --no-cache, and another map"
    assert shown[0] == shown[1] == shown[2] == shown[3]
    write(sick, rows(61, bad=41))
    assert main(["diagnose", str(sick)]) == 1
    assert "at step 41" in capsys.readouterr().out


@pytest.mark.slow
def test_a_second_look_imports_no_numpy(sick: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from autotune.cli import main; main(['diagnose', 'sick.jsonl', '--format', sys.argv[1]]);"
        "print('numpy' in sys.modules, file=sys.stderr)"
    )
    old = time.time() - 60
    os.utime(sick, (old, old))
    time.sleep(2.1)  # its inode was changed just now, and is not trusted before
    for form, numpy in (("terminal", "True"), ("terminal", "False"), ("json", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code, form], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr.strip() == numpy


# ---- a log is not to be trusted


@pytest.mark.slow
def test_control_sequences_never_reach_the_terminal(tmp_path: Path) -> None:
    evil = write(
        tmp_path / f"evil{EVIL.replace('/', '')}.jsonl",
        [{**row, f"zzz{EVIL}": 1.0, f"reward_component_mean[{EVIL}]": float(row["step"] < 30)} for row in rows(bad=40)],
    )
    (tmp_path / "it").mkdir()
    log = EventLog(tmp_path / "it" / "events.jsonl")
    log.emit(RunStarted(0, EVIL, EVIL, {"learning_rate": 1.0}, {EVIL: EVIL}, None, (EVIL,)))
    log.emit(MetricsLogged(1, {"grad_norm": float("nan")}, {EVIL: 1.0}))
    log.emit(RunEnded(1, Outcome.FAILED, EVIL))
    log.close()
    for arguments in ([evil, "it"], [evil, "it", "--follow", "--only", "NUM001"], [f"gone{EVIL}"]):
        primary, secondary = pty.openpty()
        with subprocess.Popen(
            [*AUTOTUNE, *map(str, arguments)], cwd=tmp_path, preexec_fn=heeding_ctrl_c,
            stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
        ) as process:  # fmt: skip
            os.close(secondary)
            seen, asked = b"", False
            while select.select([primary], [], [], 20)[0]:
                try:
                    seen += os.read(primary, 1 << 16)
                except OSError:  # the other side is gone
                    break
                if "--follow" in arguments and b"NUM001" in seen and not asked:
                    asked = True
                    process.send_signal(signal.SIGINT)
            process.kill()
        os.close(primary)
        text = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())  # the colours of rich
        assert len(text) < len(seen.decode()) or arguments == [f"gone{EVIL}"], "it was a terminal"
        assert not {c for c in text if (ord(c) < 32 and c not in "\r\n") or 127 <= ord(c) < 160 or c == "\u202e"}
        assert "\r" not in text.replace("\r\n", "")
        assert r"\x1b[31mred" in text.replace("\r\n", "").replace(" ", "")
