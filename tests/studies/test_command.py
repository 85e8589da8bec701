"""A study of anyone's command, as it is typed and as it is written down."""

import sys
from pathlib import Path

import pytest

from diagnostics.errors import UserError
from diagnostics.finding import Severity
from studies import command
from studies.command import CommandSpec, notes, read, study_from_command
from studies.space import Choices, Range
from studies.spec import StudySpec, from_json, to_json, write_trial

PYTHON = sys.executable


def study(text: str = f"{PYTHON} my/train.py --lr {{learning_rate}} --out {{dir}}", **options: object) -> StudySpec:
    given = {"space": ["learning_rate=1e-6..1e-2:log"], "objective": "score", **options}
    return study_from_command(text, **given)  # type: ignore[arg-type]


def test_a_study_from_a_command_line():
    spec = study(
        f"{PYTHON} my/train.py --lr {{lr}} -n {{num_generations}} --epochs {{update_epochs}} --seed {{seed}}",
        space=["lr=1e-6..1e-2:log", "num_generations=8,4,16", "update_epochs=1..4:int"],
        start=["update_epochs=3"],
        log="{dir}/x.jsonl",
    )
    assert spec.space == {
        "lr": Range(1e-6, 1e-2, log=True),
        "num_generations": Choices((4, 8, 16)),
        "update_epochs": Range(1, 4, integer=True),
    }
    assert spec.start == {"lr": pytest.approx(1e-4), "num_generations": 8, "update_epochs": 3}
    assert (spec.name, spec.objective, spec.trial.stop_on) == ("train", "score", Severity.FATAL)
    assert isinstance(spec.trial, CommandSpec) and spec.trial.folder == str(Path.cwd())


def test_it_is_written_down_and_read_again():
    spec = study(log="{dir}/x")
    assert from_json(to_json(spec), "here") == spec
    assert "objective" not in to_json(spec)["trial"]  # it is the study's


def test_a_trial_is_written_with_the_command_that_is_run(tmp_path):
    spec = study().trial_with({"learning_rate": 1e-5}, 7)
    path = write_trial(spec, tmp_path)
    assert read(tmp_path) == spec
    assert f'"{tmp_path}"' in path.read_text() and '"1e-05"' in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_a_preset_may_say_a_command():
    spec = from_json(
        {
            "name": "mine",
            "objective": "acc",
            "trial": {"command": "python x.py {lr}", "stop_on": "error", "stall_minutes": 5},
            "space": {"lr": {"low": 1, "high": 2}},
            "start": {"lr": 1},
        },
        "mine.toml",
    )
    assert spec.trial == CommandSpec("python x.py {lr}", "acc", stop_on=Severity.ERROR, stall_minutes=5)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the command is empty"),
        ("'", {}, "cannot be split"),
        (f"{PYTHON} x.py {{lr}}", {}, "--command does not use the knob learning_rate"),
        (f"{PYTHON} {{learning_rate}} {{sed}}", {}, r"no knob for \{sed\}. Did you mean \{seed\}?"),
        (f"{PYTHON} {{learning_rate}} {{}}", {}, "braces that are no placeholder"),
        (f"{PYTHON} {{learning_rate}} '{{\"a\": 1}}'", {}, "braces that are no placeholder"),
        (f"{PYTHON} {{learning_rate}} {{learning_rate!r}}", {}, "braces that are no placeholder"),
        (f"{PYTHON} {{learning_rate}} }}", {}, "do not match"),
        (f"{PYTHON} {{learning_rate}}", {"log": "{where}/x"}, r"no knob for \{where\}"),
        ("pyton {learning_rate}", {}, "there is no program pyton"),
        ("./train.sh {learning_rate}", {}, "there is no program ./train.sh"),
        (f"{PYTHON} {{seed}}", {"space": ["seed=1..5:int"]}, "seed is no knob"),
        (f"{PYTHON} {{learning_rate}}", {"space": []}, "--command needs a --space"),
        (f"{PYTHON} {{learning_rate}}", {"objective": None}, "--command needs an --objective"),
        (f"{PYTHON} {{learning_rate}}", {"space": ["learning_rate=1..2"] * 2}, "given twice"),
        (
            f"{PYTHON} {{learning_rate}}",
            {"start": ["learning_rate=7"]},
            "--start: learning_rate=7 is outside its space",
        ),
        (f"{PYTHON} {{learning_rate}}", {"start": ["lr=7"]}, "--start: unknown knob 'lr'"),
        (f"{PYTHON} {{learning_rate}}", {"stall_minutes": 0}, "stall_minutes is 0"),
    ],
)
def test_what_could_not_run_is_one_clear_line(text, options, message):
    with pytest.raises(UserError, match=message) as error:
        study(text, **options)
    assert "\n" not in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize(
    "trial", [{"command": 3}, {"command": "x {lr}", "stop_on": "never"}, {"command": "x {lr}", "speed": 3}]
)
def test_a_damaged_preset_is_one_clear_line(trial):
    data = {"name": "m", "objective": "a", "trial": trial, "space": {"lr": {"low": 1, "high": 2}}, "start": {"lr": 1}}
    with pytest.raises(UserError):
        from_json(data, "m.toml")


def test_a_program_is_looked_for_where_it_will_run(tmp_path, monkeypatch):
    program = tmp_path / "train.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command.check_program(CommandSpec("./train.sh", "score", folder=str(tmp_path)), "here")
    with pytest.raises(UserError, match="there is no folder"):
        command.check_program(CommandSpec("./train.sh", "score", folder=str(tmp_path / "gone")), "here")


def test_what_a_person_should_know_is_said_once():
    said = "\n".join(notes(study(f"{PYTHON} x.py {{lr}}", space=["lr=1..2"])))
    assert "without a shell" in said
    assert "lr starts at 1.5, the middle of its space" in said
    assert "no finding prescribes a change of lr" in said
    assert "does not use {seed}" in said
    assert "counted in steps" in said
    assert "30 minutes" in said
    canonical = "\n".join(notes(study(f"{PYTHON} x.py {{learning_rate}} {{seed}}", start=["learning_rate=1e-3"])))
    assert "prescribes" not in canonical and "{seed}" not in canonical and "middle" not in canonical
