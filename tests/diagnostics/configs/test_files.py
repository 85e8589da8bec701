"""Files of settings: what is read of them, with lines, and what is said of those that are none."""

from pathlib import Path

import pytest

from diagnostics.configs import json_file, script, yaml_file
from diagnostics.configs.config import NoConfig
from diagnostics.configs.files import read


def test_yaml_has_values_with_lines() -> None:
    text = """# a recipe
learning_rate: 1e-6
beta: 0.04
system_prompt: |
  You are
  beta: no setting
model_init_kwargs: {torch_dtype: bfloat16, n: 3}
report_to:
- wandb
use_vllm: true
max_steps: -1
empty:
"""
    given, notes = yaml_file.read(text)
    assert {name: (one.value, one.line) for name, one in given.items()} == {
        "learning_rate": (1e-6, 2),  # a text in YAML 1.1
        "beta": (0.04, 3),
        "system_prompt": ("You are\nbeta: no setting\n", 4),
        "model_init_kwargs.torch_dtype": ("bfloat16", 7),
        "model_init_kwargs.n": (3, 7),
        "report_to": (["wandb"], 8),
        "use_vllm": (True, 10),
        "max_steps": (-1, 11),
        "empty": (None, 12),
    }
    assert notes == []


def test_yaml_follows_references_and_says_what_is_given_elsewhere() -> None:
    text = "a: {n: 8}\nb: ${a.n}\nc: ${oc.env:N,4}\nd: ???\ne: ${b}\nf: ${f}\n"
    given, _ = yaml_file.read(text)
    assert (given["b"].value, given["e"].value) == (8, 8)
    assert given["c"].unknown == "it is ${oc.env:N,4}"
    assert given["d"].unknown == "it has to be given elsewhere (???)"
    assert given["f"].unknown == "it is ${f}"


def test_yaml_says_what_stands_twice_and_merges_anchors() -> None:
    given, notes = yaml_file.read("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nbeta: 0\nbeta: 1\n")
    assert (given["own.x"].value, given["own.y"].value, given["beta"].value) == (1, 3, 1)
    assert notes == ["beta stands in lines 5 and 6: the later one counts"]


def bomb() -> str:
    """Lists of aliases of lists: ten lines that stand for ten to the ninth values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2", "is no YAML in line 2"),
        ("- a\n- b", "holds no settings"),
        ("", "holds no settings"),
        ("just words", "holds no settings"),
        ("a: 1\n---\nb: 2\n", "is no YAML in line 2"),
        (bomb(), "nested too deeply, or too long"),
        ("a: " + "[" * 50 + "]" * 50, "nested too deeply, or too long, in line 1"),
        ("d: 2024-13-45", "is no YAML in line 1"),
    ],
)
def test_what_is_no_yaml_of_settings(text: str, says: str) -> None:
    with pytest.raises(NoConfig, match=says.replace("(", r"\(")):
        yaml_file.read(text)


def test_yaml_makes_nothing_but_values(tmp_path: Path) -> None:
    there = tmp_path / "made"
    given, _ = yaml_file.read(f"a: !!python/object/apply:os.system ['touch {there}']\nb: !mine 3\n")
    assert not there.exists()
    assert given["b"].value == "3"


def test_json_has_lines_of_names_that_stand_once() -> None:
    given, notes = json_file.read('{\n "a": {"x": 1},\n "b": 2,\n "c": [1, 2],\n "b": 3\n}')
    assert {name: (one.value, one.line) for name, one in given.items()} == {
        "a.x": (1, 0),
        "b": (3, 0),
        "c": ([1, 2], 4),
    }
    assert notes == ["b stands there twice: the later one counts"]


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is no JSON in line 1"), ("[1]", "holds no settings"), ("[" * 9999, "is no JSON")]
)
def test_what_is_no_json_of_settings(text: str, says: str) -> None:
    with pytest.raises(NoConfig, match=says):
        json_file.read(text)


def test_a_script_is_read_as_a_tree_and_not_run(tmp_path: Path) -> None:
    there = tmp_path / "made"
    text = f"""
import os, trl
from trl import GRPOConfig as Config, GRPOTrainer
open({str(there)!r}, "w").write("run")
LR, STEPS = 1e-6, 100
GROUP = 2 * 4
BATCH = GROUP * 2
TWICE = 3; TWICE = 4
for LATER in (1, 2):
    pass
common = dict(temperature=0.7, top_p=0.9)
extra = {{"beta": 0.04, "epsilon": 0.2}}
args = Config(
    "out",
    learning_rate=LR,
    num_generations=GROUP,
    generation_batch_size=BATCH,
    max_steps=LATER,
    max_grad_norm=float(os.environ["N"]),
    gamma=1 / 0,
    seed=TWICE,
    generation_kwargs={{"min_new_tokens": 3}},
    **extra,
    **other(),
)
trainer = GRPOTrainer(model=model, args=args, peft_config=LoraConfig())
"""
    (config,) = script.read(text, "train.py")
    assert not there.exists()
    assert (config.framework, config.line, config.adapter) == ("trl-grpo", 13, True)
    known = {name: (one.value, one.line) for name, one in config.given.items() if not one.unknown}
    assert known == {
        "num_generations": (8, 16),
        "generation_batch_size": (16, 17),
        "generation_kwargs.min_new_tokens": (3, 22),
        "beta": (0.04, 12),
        "epsilon": (0.2, 12),
    }
    assert {name: one.unknown for name, one in config.given.items() if one.unknown} == {
        "learning_rate": "it is LR",  # two names are set at once
        "max_steps": "it is LATER",
        "max_grad_norm": "it is float(os.environ['N'])",
        "gamma": "it is 1 / 0",
        "seed": "it is TWICE",
    }
    assert config.open == ("line 14 gives arguments without a name", "line 24 takes in **other()")


@pytest.mark.parametrize(
    ("text", "framework"),
    [
        ("from trl import RLOOConfig\nRLOOConfig(beta=0.1)", "trl-rloo"),
        ("import trl\ntrl.GRPOConfig(beta=0.1)", "trl-grpo"),
        ("from unsloth import FastLanguageModel\nfrom trl import GRPOConfig\nGRPOConfig(beta=0.1)", "unsloth"),
        ("from trl import PPOConfig\nPPOConfig(init_kl_coef=0.2, ppo_epochs=4)", "trl-ppo-classic"),
        ("from trl import PPOConfig\nPPOConfig(num_ppo_epochs=4, response_length=53)", "trl-ppo"),
        ("from trainers.ppo import PPOConfig\nPPOConfig(kl_coef=0.05)", "autotune-ppo"),
    ],
)
def test_a_class_of_arguments_tells_the_framework(text: str, framework: str) -> None:
    (config,) = script.read(text, "train.py")
    assert config.framework == framework


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(:", "is no Python in line 1"),
        ("print(1)", "makes no config that is known"),
        ("from elsewhere import GRPOConfig\nGRPOConfig(beta=1)", "makes no config that is known"),
        ("x = " + "(" * 300 + ")" * 300, "is no Python"),
    ],
)
def test_what_is_no_script_of_ours(text: str, says: str) -> None:
    with pytest.raises(NoConfig, match=says):
        script.read(text, "train.py")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.yaml", b"\xff\xfe\x00", "is no text in UTF-8"),
        ("a.json", b" " * (1 << 20) + b"{}", "is larger than a megabyte"),
        ("a.md", b"learning_rate: 1", "is none of .yaml, .yml"),
    ],
)
def test_files_that_are_none(name: str, data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NoConfig, match=says):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "\n".join([f"a{i} = a{i - 1} + a{i - 1}" for i in range(60, 0, -1)] + ["a0 = 1"]),  # doubles sixty times
        "\n".join(f"a{i} = a{i - 1}" for i in range(3_000, 0, -1)),
        "a60 = a60",
        f"a60 = {'1 + ' * 900}1",
        f"a60 = {'[' * 90}{']' * 90}",
    ],
)
def test_what_takes_long_to_work_out_is_not_known(text: str) -> None:
    (config,) = script.read(f"from trl import GRPOConfig\n{text}\nGRPOConfig(beta=a60, epsilon=0.2)", "train.py")
    assert config.given["beta"].unknown
    assert config.given["epsilon"].value == 0.2
