"""`autotune lint`: what a person gives it, what it prints, and how it ends."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autotune.cli import main
from studies.spec import load, presets, write_trial

CONFIGS = Path(__file__).parents[1] / "data" / "configs"
QUIET = "num_generations: 8\nbeta: 0.04\nnum_processes: 1\n"


def ended(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["lint", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def codes(out: str) -> list[list[str]]:
    return [sorted(f["code"] for f in one["findings"]) for one in json.loads(out)["configurations"]]


@pytest.mark.parametrize(
    ("fail_on", "status"), [("info", 1), ("warning", 1), ("error", 0), ("fatal", 0)]
)  # the one finding is a warning
def test_the_status_goes_by_the_worst_finding(fail_on: str, status: int, tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"{QUIET}temperature: 0.3\n")
    assert ended(str(file), "--fail-on", fail_on, capsys=capsys)[0] == status


def test_a_clean_file_says_what_was_checked(tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(QUIET)
    status, out, err = ended(str(file), capsys=capsys)
    assert (status, err) == (0, "")
    assert "No findings; 13 of 18 rules could be checked." in out
    assert "CFG002 dataset_size" in " ".join(out.split())


def test_what_holds_nothing_that_is_understood_is_an_error_and_the_others_are_checked(tmp_path: Path, capsys) -> None:
    (tmp_path / "ci.yaml").write_text("on: push\n")
    (tmp_path / "a.yaml").write_text(QUIET)
    named = [str(tmp_path / "ci.yaml"), str(tmp_path / "none.yaml"), str(tmp_path / "a.yaml")]
    status, out, err = ended(*named, capsys=capsys)
    assert status == 2
    assert "No findings" in out
    assert ended(named[0], named[1], capsys=capsys)[1] == ""
    first, second = err.splitlines()
    assert "ci.yaml has no setting that is understood. Give a YAML" in first
    assert second.endswith("none.yaml. Check the spelling.")
    assert ended(named[0], named[2], "--skip-others", capsys=capsys)[0] == 0


def test_settings_of_any_trainer_are_not_called_unknown_and_a_misspelt_one_is_named(tmp_path: Path, capsys) -> None:
    file = tmp_path / "dpo.yaml"
    file.write_text("learning_rate: 5.0e-7\nper_device_train_batch_size: 4\n")
    status, _, err = ended(str(file), capsys=capsys)
    assert status == 2 and "dpo.yaml has learning_rate, per_device_train_batch_size and no setting that tells" in err
    assert "meant" not in err
    file.write_text("learning_rate: 5.0e-7\nnum_generatons: 4\n")
    assert "(num_generatons: is num_generations meant?)" in ended(str(file), capsys=capsys)[2]
    file.write_text("learning_rate: 5.0e-7\n")
    assert "has no setting that is understood" in ended(str(file), capsys=capsys)[2]


def test_rules_on_runs_are_known_and_not_asked_of_configurations(tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(QUIET)
    status, _, err = ended(str(file), "--only", "KL002", capsys=capsys)
    assert status == 2 and "KL002 cannot be checked in a configuration. Ask for others, such as CFG001." in err
    assert ended(str(file), "--ignore", "KL002", capsys=capsys)[0] == 0
    assert "there is no rule KL0020" in ended(str(file), "--only", "KL0020", capsys=capsys)[2]


def test_a_folder_is_searched_and_what_is_passed_over_is_counted(tmp_path: Path, capsys, monkeypatch) -> None:
    for name in ("grpo.yaml", "verl.sh", "openrlhf.sh"):
        shutil.copyfile(CONFIGS / name, tmp_path / name)
    for folder in (".hidden", "venv/lib/site-packages/trl"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.yaml").write_text(QUIET)
    (tmp_path / "ci.yml").write_text("on: push\n")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.chdir(tmp_path)  # a long path would be wrapped
    status, out, _ = ended(".", capsys=capsys)
    assert status == 1
    assert out.index("grpo.yaml") < out.index("openrlhf.sh")  # what has something wrong goes first
    assert "3 configurations, 2 with a finding at warning or above." in out
    assert "2 files passed over: they hold no configuration." in out
    _, out, _ = ended(".", "--format", "json", capsys=capsys)
    assert [Path(one["source"]).name for one in json.loads(out)["passed_over"]] == ["broken.json", "ci.yml"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ended(str(empty), capsys=capsys)[0] == 2


def test_a_command_line_behind_dashes(capsys) -> None:
    command = ["python", "-m", "verl.trainer.main_ppo", "algorithm.adv_estimator=grpo"]
    command.append("actor_rollout_ref.actor.use_dynamic_bsz=True")
    status, out, _ = ended("--format", "json", "--", *command, capsys=capsys)
    assert (status, codes(out)) == (1, [["CFG008", "CFG013"]])
    status, _, err = ended("--", "ls", "-la", capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "starts no training that is known" in err


def test_rules_are_chosen_and_the_project_has_its_say(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(CONFIGS / "verl.sh", "verl.sh")
    assert codes(ended("verl.sh", "--format", "json", "--only", "CFG012", capsys=capsys)[1]) == [["CFG012"]]
    left = codes(ended("verl.sh", "--format", "json", "--ignore", "CFG012,group_of_one", capsys=capsys)[1])
    assert left == [["CFG008"]]
    Path("autotune.toml").write_text('[rules.CFG012]\nseverity = "error"\n[rules.CFG013]\nignore = true\n')
    status, out, _ = ended("verl.sh", capsys=capsys)
    assert status == 1
    assert "ERROR  CFG012" in out
    assert "CFG013  left out by autotune.toml" in out
    assert ended("verl.sh", "--only", "CFG99", capsys=capsys)[0] == 2


@pytest.mark.parametrize("preset", presets())
def test_no_preset_has_anything_that_could_not_be_trained(preset: str, capsys) -> None:
    status, out, _ = ended(preset, "--format", "json", capsys=capsys)
    assert status == 0
    assert json.loads(out)["configurations"][0]["settings"]["batch_size"]


STUDY = """name = "x"
[trial]
algorithm = "grpo"
task = "arithmetic"
batch_size = 60
[space]
num_generations = { choices = [4, 8] }
temperature = { low = 0.1, high = 1.0 }
[start]
num_generations = 4
temperature = 1.0
"""


def test_a_study_is_judged_at_its_start_and_its_space_by_what_could_not_be_trained(tmp_path: Path, capsys) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    status, out, _ = ended(str(file), "--format", "json", capsys=capsys)
    assert status == 1
    (one,) = json.loads(out)["configurations"]
    assert [(f["code"], f["severity"], f["message"].partition(":")[0]) for f in one["findings"]] == [
        ("CFG001", "error", "the space has num_generations 8"),
        ("CFG007", "info", "the space has temperature 0.1"),
    ]
    file.write_text(STUDY.replace("num_generations = 4", "num_generations = 1").replace("[4, 8]", "[1, 4]"))
    _, out, _ = ended(str(file), "--format", "json", capsys=capsys)
    assert [f["code"] for f in json.loads(out)["configurations"][0]["findings"]] == ["CFG011"]


def test_a_study_of_a_command_is_judged_as_the_command_is(tmp_path: Path, capsys) -> None:
    file = tmp_path / "study.toml"
    file.write_text("""name = "y"
objective = "reward"
[trial]
command = "python train.py --num_generations {g} --per_device_train_batch_size 8 --beta 0.04 --log {dir}/x"
log = "{dir}"
[space]
g = { choices = [4, 6] }
[start]
g = 4
""")
    _, out, _ = ended(str(file), "--format", "json", capsys=capsys)
    assert codes(out) == [["CFG001"]]
    assert "the space has g 6" in out


def test_the_config_of_a_trial(tmp_path: Path, capsys) -> None:
    preset = load("arithmetic-grpo")
    write_trial(preset.trial_with({**preset.start, "temperature": 0.2}, 0), tmp_path)
    assert codes(ended(str(tmp_path / "config.json"), "--format", "json", capsys=capsys)[1]) == [["CFG007"]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("trial.json", b'{"v": 1, "algorithm": "grpo", "knobs": {}, "trl": 3}', "no trial: trl is 3. Give"),
        ("trial.json", b'{"v": 1, "algorithm": "grpo", "knobs": [1]}', "no trial: knobs is [1]. Give"),
        ("trial.json", b'{"v": 1, "algorithm": ["a"], "knobs": {}}', "no trial: there is no algorithm ['a']. Give"),
        ("trial.json", b'{"v": 1, "algorithm": "grpo", "knobs": {}, "eval_temperature": []}', "no trial:"),
        ("study.toml", b'[space]\nx = "\xe9"\n', "study.toml is no text in UTF-8."),
        ("study.toml", b"[space]\nx = 3\n", "study.toml has no name."),
    ],
)
def test_a_broken_file_of_ours_is_one_line_and_the_others_are_checked(
    name: str, text: bytes, said: str, tmp_path: Path, capsys
) -> None:
    (tmp_path / "a.yaml").write_text(QUIET)
    (tmp_path / name).write_bytes(text)
    status, out, err = ended(str(tmp_path / name), str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert said in err and "a.yaml" in out
    assert "a.yaml" in ended(str(tmp_path), capsys=capsys)[1]


def test_annotations_stand_at_their_lines(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b.yaml").write_text(f"{QUIET}fp16: true\nbf16: true\n")
    _, out, _ = ended("a,b.yaml", "none.yaml", "--format", "github", capsys=capsys)
    lines = out.splitlines()
    assert lines[0].startswith("::error title=not checked::there is no none.yaml.")
    assert lines[1].startswith("::error file=a%2Cb.yaml,line=4,title=ERROR CFG011 refused_by_framework::fp16 and bf16")


def test_what_stands_in_a_file_stays_text(tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f'{QUIET}temperature: 0.1\n"[red]x\\e[31m": 1\neval_strategy: "\\e[2J[b]"\nlearnig_rate: 1\n')
    _, out, _ = ended(str(file), capsys=capsys)
    assert "WARNING  CFG007" in out
    assert "\x1b" not in out
    assert "[red]x\\x1b[31m" in out


def test_yaml_needs_its_extra_and_says_which(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(QUIET)
    program = (
        f"import sys\nsys.modules['yaml'] = None\nimport autotune.cli as a\nsys.exit(a.main(['lint', {str(file)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("needs yaml, which is not installed. Install it: pip install 'autotune-rl[lint]'\n")


def test_lint_needs_no_heavy_package(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(QUIET)
    program = (
        f"import sys\nfrom autotune.cli import main\nmain(['lint', {str(file)!r}, 'ppo-query'])\n"
        "seen = {m.partition('.')[0] for m in sys.modules}\n"
        "print(sorted(seen & {'torch', 'trl', 'transformers', 'optuna', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_hook_passes_over_what_is_no_configuration(tmp_path: Path, capsys) -> None:
    (hook,) = yaml.safe_load((CONFIGS.parents[2] / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "autotune-lint"
    (tmp_path / "ci.yml").write_text("on: push\n")
    verb, *options = hook["entry"].split()[1:]
    assert main([verb, *options, str(tmp_path / "ci.yml")]) == 0
    assert "1 file passed over" in capsys.readouterr().out
    assert main([verb, *options, str(tmp_path / "ci.yml"), str(CONFIGS / "grpo.yaml")]) == 1
