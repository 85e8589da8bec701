from pathlib import Path

import pytest

from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.metrics import knobs
from studies import trial
from studies.spec import DEFAULT_PRESET, from_json, load, presets, to_json
from studies.trial import TrialSpec


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads_and_survives_its_record(name: str) -> None:
    spec = load(name)
    assert spec.name == name
    assert set(spec.space) <= set(knobs())
    assert from_json(to_json(spec), "again") == spec


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean arithmetic-grpo"):
        load("arithmetic-gpro")


def test_unknown_preset_lists_those_there_are_in_one_short_line() -> None:
    with pytest.raises(UserError) as error:
        load("nothing like it")
    assert "There are arithmetic-grpo, ppo-experiment-1 to 8, ppo-query;" in error.value.hint


JOURNAL = {name: load(name) for name in presets() if name.startswith("ppo-experiment-")}


def test_the_experiments_of_the_journal_change_what_its_author_changed() -> None:
    def apart(one: int, other: int) -> set[str]:
        """What differs between two experiments but their names and texts."""
        settings = []
        for number in (one, other):
            spec = to_json(JOURNAL[f"ppo-experiment-{number}"])
            settings.append({**spec["start"], **spec["trial"], **spec["trial"]["trl"]})
        first, second = settings
        return {key for key in first | second if first.get(key) != second.get(key)} - {"trl"}

    assert apart(1, 2) - {"completions"} == {"learning_rate"}
    assert apart(1, 3) == {"reward_scale"}
    assert apart(2, 4) == {"kl_coef"}
    assert apart(4, 5) == {"update_epochs"}
    assert apart(5, 6) == {"task", "generation_kwargs"}
    assert apart(6, 7) == {"completions"}
    assert apart(7, 8) == {"learning_rate"}


@pytest.mark.parametrize("name", JOURNAL)
def test_each_experiment_says_what_its_author_saw_what_the_curve_shows_and_what_it_is_here(name: str) -> None:
    saw, shows, here = JOURNAL[name].notes
    assert saw.startswith("The author saw " if name != "ppo-experiment-8" else "The author asked for ")
    assert shows.startswith("The curve shows" if name != "ppo-experiment-8" else "There is no curve")
    assert here.startswith("Here ")
    assert not any("\n" in note for note in JOURNAL[name].notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = [", "is no TOML"),
        ("name = 'x'\ntrails = 3\n[space]\n[start]", "unknown keys trails"),
        ("[space]\n[start]", "has no name"),
        ("name='x'\nobjective='reward'\n[trial]\ntask='arithmetic'\n[space]\n[start]", "no canonical metric"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\nkl_coef={low=0,high=1}\n[start]", "no start for kl_coef"),
        (
            "name='x'\n[trial]\ntask='arithmetic'\n[space]\nkl_coef={low=0,high=1}\n[start]\nkl_coef=2",
            "outside its space",
        ),
        ("name='x'\n[trial]\ntask='arithmetic'\nsteps=9\n[space]\n[start]", "unknown keys steps"),
        ("name='x'\n[trial]\ntask='arithmetic'\ncompletions='many'\n[space]\n[start]", "completions is 'many'"),
        ("name='x'\n[trial]\ntask='arithmetic'\ncompletions=0\n[space]\n[start]", "completions is 0"),
        ("name='x'\n[space]\n[start]", "needs a task or a model"),
        ("name='x'\ntrials=0\n[trial]\ntask='arithmetic'\n[space]\n[start]", "trials is 0"),
        ("name='x'\ntrials='x'\n[trial]\ntask='arithmetic'\n[space]\n[start]", "trials is 'x'"),
        ("name='x'\nseed=-3\n[trial]\ntask='arithmetic'\n[space]\n[start]", "seed is -3"),
        ("name='x'\nspace=3\n[start]", "space is 3"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\ntemperature=5\n[start]", "space.temperature is 5"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\ntemperature={low='a',high=1}\n[start]", "low is 'a'"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\ntemperature={low=1,high=2,lgo=true}\n[start]", "lgo"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\nspeed={low=1,high=2}\n[start]\nspeed=1", "unknown knob speed"),
        ("name='x'\n[trial]\ntask='arithmetic'\nstop_on='loud'\n[space]\n[start]", "unknown severity 'loud'"),
        ("name='x'\n[trial]\ntask='arithmetic'\nreward_bounds=[1]\n[space]\n[start]", "reward_bounds are two numbers"),
        ("name='x'\n[trial]\ntask='arithmetic'\nreward_bounds=[1,1]\n[space]\n[start]", "reward_bounds are 1 and 1"),
        ("name='x'\n[trial]\ntask='arithmetic'\nreward_bounds=[0,inf]\n[space]\n[start]", "two finite numbers"),
        ("name='x'\nnotes='much'\n[trial]\ntask='arithmetic'\n[space]\n[start]", "notes are 'much'"),
        ("name='x'\nnotes=[1]\n[trial]\ntask='arithmetic'\n[space]\n[start]", "notes are [1]"),
        ("name='x'\nnoise=3\n[trial]\ntask='arithmetic'\n[space]\n[start]", "noise is 3"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\n[start]\n[noise]\nreward=1", "noise of 'reward', which is no"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\n[start]\n[noise]\nreward_mean=0", "reward_mean is 0"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\n[start]\n[noise]\nreward_mean='a'", "reward_mean is 'a'"),
        ("name='x'\n[trial]\ntask='arithmetic'\n[space]\n[start]\n[noise]\nreward_mean=1e200", "reward_mean is 1e"),
    ],
)
def test_bad_files_say_the_file_and_the_key(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(str(path))
    assert said in str(error.value)


def test_missing_file() -> None:
    with pytest.raises(UserError, match=r"cannot read the study nowhere\.toml"):
        load("nowhere.toml")


def test_trial_spec_survives_its_file(tmp_path: Path) -> None:
    spec = TrialSpec(task="arithmetic", knobs={"learning_rate": 1e-4}, reward_bounds=(-1.0, 1.0), trl={"bf16": True})
    trial.write(spec, tmp_path)
    assert trial.read(tmp_path) == spec
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_trial_spec_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"v": 2}')
    with pytest.raises(UserError, match="has version 2, this autotune reads version 1"):
        trial.read(tmp_path)


def test_trial_spec_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a trial"):
        trial.read(tmp_path)


def test_the_default_preset_starts_where_it_collapses() -> None:
    spec = load(DEFAULT_PRESET)
    assert spec.start["learning_rate"] == 3e-3
    assert spec.trial.stop_on is Severity.FATAL
