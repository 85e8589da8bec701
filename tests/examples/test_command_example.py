"""examples/command: the script as it stands, run through the launcher, and by the command line of its README."""

import itertools
import re
import shlex
import sys
import time
from pathlib import Path

import pytest

from autotune.cli import ExitStatus, main
from autotune.launch.command import CommandLauncher
from diagnostics.events import Outcome
from diagnostics.metrics import is_metric
from studies.command import study_from_command
from studies.log import read
from studies.record import State
from studies.spec import write_trial
from studies.trial_log import TrialLog

HOME = Path(__file__).parents[2]


def arguments() -> list[str]:
    """What README.md says to type, with this interpreter as `python`."""
    text = (HOME / "examples" / "command" / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^autotune (study start.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    words = shlex.split(line.replace("\\\n", " "))
    return [re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", word) for word in words]


def given(words: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(words) if name == option]


def test_a_trial_of_the_example_is_followed_and_diagnosed(tmp_path, monkeypatch):
    monkeypatch.chdir(HOME)
    words = arguments()
    spec = study_from_command(
        given(words, "--command")[0], space=given(words, "--space"), objective="score", start=given(words, "--start")
    )
    write_trial(spec.trial_with(spec.start, 3), tmp_path)
    with CommandLauncher() as launcher:
        trial = launcher.start(tmp_path)
        while trial.poll() is None:
            time.sleep(0.02)
    log = TrialLog(tmp_path, "score")
    log.poll()
    assert log.ended is not None and log.ended.outcome is Outcome.FINISHED
    assert [e.step for e in log.evaluations] == list(range(61))
    assert log.completions == 64 * 61
    assert {name for name in log.curves if not is_metric(name)} == {"score"}
    assert "ENT001" in log.findings  # the policy collapses at once at such a learning rate


@pytest.mark.slow
def test_the_command_of_the_readme_finds_better_settings(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    monkeypatch.chdir(HOME)
    assert main([*arguments(), "--dir", str(tmp_path / "study")]) == ExitStatus.CLEAN
    study = read(tmp_path / "study")
    assert [t.state for t in study.trials] == [State.COMPLETE] * 5
    first, best = study.trials[0], study.best()
    assert best is not None and best.value is not None and first.value is not None
    assert best.value > first.value + 0.1
    assert f"best: trial {best.number}" in capsys.readouterr().out
