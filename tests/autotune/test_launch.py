"""Trials in forks of a warm worker: what may be killed, and that nothing is left behind or carried over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.launch import local
from autotune.launch.local import LOG_FILE, LocalLauncher, LocalTrial, gpus
from diagnostics.events import EVENTS_FILE, Envelope, MetricsLogged, Outcome, RunEnded, decode
from studies import trial as trials

pytestmark = pytest.mark.slow  # each worker imports torch and TRL

REWARD = """
import os, signal, sys, time
from pathlib import Path

def a(completions, **columns):
    return [c.count("a") / max(1, len(c)) for c in completions]

def slow(completions, **columns):
    time.sleep(0.1)
    return a(completions)

def stuck(completions, **columns):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if not child:
        time.sleep(600)
    Path("child").write_text(str(child))
    time.sleep(600)

def crash(completions, **columns):
    os.kill(os.getpid(), signal.SIGSEGV)

def fail(completions, **columns):
    raise RuntimeError("no such word")

def tell(completions, **columns):
    asked = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "input": sys.stdin.read(), "group": os.getpgid(0)}
    asked["cuda"] = sys.modules["torch"].cuda.is_initialized()
    print("TOLD", asked, flush=True)
    return a(completions)
"""


@pytest.fixture
def trial(tmp_path: Path, tiny_model: Path, prompts_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the folder of a trial of two steps of 8 completions; its reward lies in the current folder."""
    (tmp_path / "rewards_here.py").write_text(REWARD)
    monkeypatch.chdir(tmp_path)

    def make(name: str, function: str = "a", **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        spec: dict[str, Any] = {
            "model": str(tiny_model),
            "dataset": str(prompts_file),
            "reward": f"rewards_here:{function}",
            "knobs": {"learning_rate": 3e-3, "kl_coef": 0.04, "num_generations": 4},
            "completions": 16,
            "batch_size": 8,
            "max_completion_length": 6,
            "eval_every": 2,
            "stop_on": None,
            "save_model": False,
        }
        trials.write(trials.TrialSpec(**{**spec, **changes}), folder)
        return folder

    return make


@pytest.fixture(scope="module")
def launcher() -> Iterator[LocalLauncher]:
    """One for all tests that leave its worker alive: a worker takes its time to import."""
    with LocalLauncher(parallel=2) as launcher:
        launcher.prepare()
        yield launcher


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something to be so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(running: LocalTrial) -> int:
    until(lambda: running.poll() is not None)
    status = running.poll()
    assert status is not None
    return status


def envelopes(folder: Path) -> list[Envelope]:
    path = folder / EVENTS_FILE
    return [decode(line) for line in path.read_text().splitlines()] if path.exists() else []


def numbers(folder: Path) -> list[dict[str, float]]:
    """All metrics of a trial but those of the machine."""
    rows = [e.event for e in envelopes(folder) if isinstance(e.event, MetricsLogged)]
    of_machine = ("seconds", "step_time", "process_")
    return [{n: v for n, v in row.metrics.items() if not any(part in n for part in of_machine)} for row in rows]


def training(folder: Path) -> bool:
    """Whether a step was told."""
    return any(isinstance(e.event, MetricsLogged) and e.event.step for e in envelopes(folder))


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def broken(root: Path, name: str) -> Path:
    """A trial that ends at once: its config is of another version."""
    (root / name).mkdir()
    (root / name / "config.json").write_text('{"v": 99}')
    return root / name


def test_each_trial_has_its_own_log_and_ends_with_a_status(launcher: LocalLauncher, tmp_path: Path) -> None:
    for name in ("first", "second"):
        running = launcher.start(broken(tmp_path, name))
        assert ended(running) == 2
        assert running.last_words().startswith("trainers: error: ")
        assert f"{name}/config.json has version 99" in running.last_words()
        assert (tmp_path / name / LOG_FILE).read_text().count("\n") == 1
    launcher.start(tmp_path / "first", attempt=2).stop()
    assert (tmp_path / "first" / LOG_FILE).read_text().startswith("trainers: error: ")  # what stood there stays


def test_trials_of_a_worker_give_the_numbers_of_a_fresh_process(
    launcher: LocalLauncher, trial: Callable[..., Path]
) -> None:
    fresh = trial("fresh", completions=64)
    command = [sys.executable, "-P", "-m", "trainers", str(fresh)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    expected = numbers(fresh)
    assert len(expected) >= 9  # the evaluation before training, and eight steps
    folders = [
        trial("first", completions=64),
        trial("second", completions=64),
        trial("another", completions=64, seed=3, lora_rank=2, trl={"bf16": True, "use_cpu": True}),
        trial("failing", "fail"),
        trial("fifth", completions=64),
    ]
    statuses = [ended(launcher.start(folder)) for folder in folders]
    assert statuses == [0, 0, 0, 1, 0]
    assert numbers(folders[0]) == numbers(folders[1]) == numbers(folders[4]) == expected
    assert numbers(folders[2])[1:] != expected[1:]


def test_a_trial_that_breaks_takes_nothing_with_it(launcher: LocalLauncher, trial: Callable[..., Path]) -> None:
    worker = launcher.worker
    failing, crashing = launcher.start(trial("failing", "fail")), launcher.start(trial("crashing", "crash"))
    assert (ended(failing), ended(crashing)) == (1, -signal.SIGSEGV)
    assert failing.last_words() == "RuntimeError: no such word"
    assert crashing.last_words() == "it was ended by SIGSEGV"
    killed = launcher.start(trial("killed", "slow", completions=1600))
    until(lambda: training(killed.directory))
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    assert ended(killed) == -signal.SIGKILL
    assert "memory" in killed.last_words()
    good = launcher.start(trial("good"))
    assert ended(good) == 0
    assert launcher.worker == worker


def test_a_trial_that_will_not_stop_is_killed_with_its_children(
    launcher: LocalLauncher, trial: Callable[..., Path], tmp_path: Path
) -> None:
    running = launcher.start(trial("stuck", "stuck"))
    until((tmp_path / "child").exists)
    until(lambda: bool((tmp_path / "child").read_text()))
    running.ask_to_stop()
    running.ask_to_stop()
    assert running.poll() is None
    assert running.stop() == -signal.SIGKILL
    until(lambda: not alive(int((tmp_path / "child").read_text())))


def test_what_a_trial_leaves_running_is_ended(launcher: LocalLauncher, trial: Callable[..., Path]) -> None:
    folder = trial("leaves")
    text = "\ndef leaves(completions, **columns):\n    import subprocess\n    global child\n"
    text += "    child = subprocess.Popen(['sleep', '600'])\n    print('CHILD', child.pid, flush=True)\n"
    Path("rewards_here.py").write_text(REWARD + text + "    return a(completions)\n")
    trials.write(trials.TrialSpec(**{**_fields(folder), "reward": "rewards_here:leaves"}), folder)
    assert ended(launcher.start(folder)) == 0
    children = [int(line.split()[1]) for line in (folder / LOG_FILE).read_text().splitlines() if line[:5] == "CHILD"]
    assert children
    until(lambda: not any(alive(child) for child in children))


def _fields(folder: Path) -> dict[str, Any]:
    spec = trials.read(folder)
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_a_trial_that_was_asked_ends_after_its_step(launcher: LocalLauncher, trial: Callable[..., Path]) -> None:
    running = launcher.start(trial("asked", "slow", completions=1600))
    until(lambda: training(running.directory))
    running.ask_to_stop()
    assert ended(running) == 0
    end = envelopes(running.directory)[-1].event
    assert isinstance(end, RunEnded) and (end.outcome, end.reason) == (Outcome.STOPPED, "SIGTERM")
    assert running.stop() == 0


def test_several_at_once_each_with_its_gpu_in_its_own_group(
    launcher: LocalLauncher, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    monkeypatch.setattr(launcher, "_gpus", None)
    running = [launcher.start(trial(f"{i}", "tell")) for i in range(2)]
    with pytest.raises(RuntimeError, match="2 trials are running"):
        launcher.start(trial("2"))
    pids = [one.pid for one in running]
    assert [ended(one) for one in running] == [0, 0]
    told = [_told(one.directory) for one in running]
    assert [each["gpu"] for each in told] == ["4", "7"]
    assert [(each["cuda"], each["input"]) for each in told] == [(False, "")] * 2
    assert [each["group"] for each in told] == [one or each["group"] for one, each in zip(pids, told, strict=True)]
    assert len({each["group"] for each in told} | {os.getpgid(0)}) == 3
    again = launcher.start(trial("3", "tell"))
    assert ended(again) == 0
    assert _told(again.directory)["gpu"] == "4"


def _told(folder: Path) -> dict[str, Any]:
    line = next(line for line in (folder / LOG_FILE).read_text().splitlines() if line.startswith("TOLD "))
    told: dict[str, Any] = eval(line.removeprefix("TOLD "))  # noqa: S307 - our own trial printed it
    return told


def test_the_worker_starts_no_threads_of_its_own_and_holds_on_to_nothing(
    launcher: LocalLauncher, trial: Callable[..., Path]
) -> None:
    def resident(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))

    assert ended(launcher.start(trial("first"))) == 0
    worker = launcher.worker
    assert worker is not None
    before, files = resident(worker), len(list(Path(f"/proc/{worker}/fd").iterdir()))
    for i in range(11):
        assert ended(launcher.start(trial(f"{i}"))) == 0
    assert launcher.worker == worker
    assert resident(worker) < 1.02 * before
    assert len(list(Path(f"/proc/{worker}/fd").iterdir())) == files
    threads = {(task / "comm").read_text().strip() for task in Path(f"/proc/{worker}/task").iterdir()}
    assert threads <= {Path(f"/proc/{worker}/comm").read_text().strip(), "jemalloc_bg_thd"}


def test_a_worker_that_dies_takes_its_trials_with_it_and_is_replaced(
    launcher: LocalLauncher, trial: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [trial("one", "slow", completions=1600), trial("two", "slow", completions=1600)]
    running = [launcher.start(folder) for folder in folders]
    until(lambda: all(training(folder) for folder in folders))
    pids, worker = [one.pid for one in running], launcher.worker
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    assert [ended(one) for one in running] == [-signal.SIGKILL] * 2
    until(lambda: not any(alive(pid) for pid in pids if pid is not None))
    again = launcher.start(folders[0], attempt=2)
    assert launcher.worker not in (worker, None)
    until(lambda: {e.attempt for e in envelopes(folders[0])} == {1, 2})
    again.stop()
    worker = launcher.worker
    assert worker is not None
    os.kill(worker, signal.SIGKILL)  # while it is idle, too
    until(lambda: launcher.worker is None)
    assert ended(launcher.start(broken(tmp_path, "next"))) == 2


def test_a_trial_that_waits_for_the_imports_can_be_stopped_and_says_what_goes_wrong_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalLauncher(parallel=2) as launcher:
        waiting, other = launcher.start(broken(tmp_path, "waiting")), launcher.start(broken(tmp_path, "other"))
        assert waiting.poll() is None
        assert waiting.stop() == -signal.SIGTERM
        assert ended(other) == 2
        assert not (tmp_path / "waiting" / LOG_FILE).read_text()

    (tmp_path / "torch.py").write_text("raise SystemExit('torch is not what it was')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with LocalLauncher() as launcher:
        failing = launcher.start(broken(tmp_path, "failing"))
        assert ended(failing) == 1
        assert failing.last_words() == "torch is not what it was"


def test_a_trial_with_vllm_has_a_process_of_its_own(
    launcher: LocalLauncher, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(launcher, "_gpus", None)
    running = launcher.start(trial("own", "tell", trl={"use_vllm": True}))
    assert isinstance(running._process, local._Own)
    running.stop()
    monkeypatch.setattr(local, "_needs_its_own", lambda directory: True)
    running = launcher.start(trial("like it", "tell"))
    pid = running.pid
    assert ended(running) == 0
    told = _told(running.directory)
    assert (told["gpu"], told["input"], told["group"]) == ("4", "", pid)


STUDY = """
import os, sys, time
from pathlib import Path
from autotune.launch.local import LocalLauncher
with LocalLauncher() as launcher:
    running = launcher.start(Path(sys.argv[1]))
    while running.pid is None and running.poll() is None:
        time.sleep(0.05)
    print(json.dumps([launcher.worker, running.pid]), flush=True)
    time.sleep(600)
""".replace("import os", "import json, os")


@pytest.mark.parametrize("with_worker", [False, True])
def test_a_study_that_is_killed_leaves_nothing_behind_and_its_trial_says_so(
    trial: Callable[..., Path], with_worker: bool
) -> None:
    folder = trial("orphan", "slow", completions=16_000)
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(folder)], stdout=subprocess.PIPE)
    assert study.stdout is not None
    worker, pid = json.loads(study.stdout.readline())
    until(lambda: training(folder))
    study.kill()
    study.wait()
    if with_worker:
        os.kill(worker, signal.SIGKILL)
    until(lambda: not alive(worker) and not alive(pid))
    end = envelopes(folder)[-1].event
    assert isinstance(end, RunEnded)
    assert (end.outcome, end.reason) == (Outcome.INTERRUPTED, "the process that started it is gone")


def test_the_gpus_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, expected in (
        ("", []),
        ("-1", []),
        ("2", ["2"]),
        ("0,3", ["0", "3"]),
        ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus() == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-x)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-y)'\n")
    tool.chmod(0o755)
    assert gpus() == ["0", "1"]
