"""Shell scripts: what a shell would make of their words, and what cannot be known without running them."""

from pathlib import Path

import pytest

from diagnostics.configs import shell
from diagnostics.configs.arithmetic import evaluated
from diagnostics.configs.config import Config, Given, NoConfig
from diagnostics.configs.linting import lint


def only(text: str, folder: Path = Path()) -> Config:
    (config,) = shell.read(text, folder / "run.sh")
    return config


def values(config: Config) -> dict[str, object]:
    return {name: one.unknown or one.value for name, one in config.given.items()}


VERL = r"""#!/bin/bash
set -x  # a comment with 'quotes
export A=1 B="two words"
files="['$HOME/a.parquet']"
n=${N:-5}
lr=${1:-1e-6}
batch=$((n * 2 ** 0 + 1024))
size=$(( (n + 3) / 3 * 64 ))

python3 -m verl.trainer.main_ppo \
    algorithm.adv_estimator=grpo \
    data.train_files="$files" \
    data.train_batch_size=$size \
    data.max_response_length=${B} \
    actor_rollout_ref.actor.optim.lr=$lr \
    actor_rollout_ref.rollout.n=$n \
    actor_rollout_ref.rollout.temperature=$TEMP \
    +actor_rollout_ref.rollout.seed=$(date +%s) \
    ++actor_rollout_ref.actor.use_kl_loss=True \
    ~critic \
    trainer.logger='["console","wandb"]' \
    trainer.nnodes=1 $@ 2>&1 | tee -a log.txt
"""


def test_verls_overrides() -> None:
    config = only(VERL)
    assert (config.framework, config.line) == ("verl", 10)
    assert values(config) == {
        "algorithm.adv_estimator": "grpo",
        "data.train_files": "it is $HOME, which the script does not set",
        "data.train_batch_size": 128,
        "data.max_response_length": "two words",
        "actor_rollout_ref.actor.optim.lr": 1e-6,
        "actor_rollout_ref.rollout.n": 5,
        "actor_rollout_ref.rollout.temperature": "it is $TEMP, which the script does not set",
        "actor_rollout_ref.rollout.seed": "it is $(date +%s), which a command prints",
        "actor_rollout_ref.actor.use_kl_loss": True,
        "trainer.logger": '["console","wandb"]',
        "trainer.nnodes": 1,
    }
    assert config.given["actor_rollout_ref.rollout.n"].line == 16
    assert config.open == ()


OPENRLHF = r"""
set -x
read -r -d '' training_commands <<EOF
openrlhf.cli.train_ppo_ray \
   --actor_learning_rate 5e-7 \
   --n_samples_per_prompt ${N:-8} \
   --eps_clip_low_high 0.2 0.27 \
   --eval_steps -1 \
   --bf16
EOF

if [[ ${1} != "slurm" ]]; then
    deepspeed --module $training_commands
fi
"""


def test_a_command_in_a_here_document() -> None:
    config = only(OPENRLHF)
    assert config.framework == "openrlhf"
    assert values(config) == {
        "actor_learning_rate": 5e-7,
        "n_samples_per_prompt": 8,
        "eps_clip_low_high": [0.2, 0.27],
        "eval_steps": -1,
        "bf16": True,
    }
    assert [one.line for one in config.given.values()] == [5, 6, 7, 8, 9]


def test_a_quoted_mark_keeps_variables_as_they_are() -> None:
    config = only("read -d '' c <<'EOF'\nopenrlhf.cli.train_ppo_ray --seed $N --top_p 1\nEOF\npython -m $c\n")
    assert values(config) == {"seed": "$N", "top_p": 1}


def test_a_script_inside_a_shell() -> None:
    text = (
        'LR=3\nsrun bash -c "cd x \\\n  && python3 train_ppo_ray.py --actor_learning_rate $LR \\\n  --seed 1" &> log\n'
    )
    config = only(text)
    assert values(config) == {"actor_learning_rate": 3, "seed": 1}
    assert [one.line for one in config.given.values()] == [3, 4]
    assert config.processes is None  # srun may start it several times
    assert only('bash -c "python3 train_ppo_ray.py --seed 1"').processes == Given(1)


def test_arrays() -> None:
    text = """
ARGS=(
    --learning_rate 1e-6   # with a comment
    --beta 0.04
)
ARGS+=(--num_generations 8)
MORE="--temperature 0.9"
MORE+=" --top_p 0.8"
python grpo.py "${ARGS[@]}" $MORE "${NONE[@]}"
"""
    config = only(text)
    assert values(config) == {
        "learning_rate": 1e-6, "beta": 0.04, "num_generations": 8, "temperature": 0.9, "top_p": 0.8,
    }  # fmt: skip
    assert config.open == ("line 9: $NONE may bring any",)
    assert config.given["num_generations"].line == 6


def test_what_branches_and_loops_set_is_not_known() -> None:
    text = """
A=1
if [ "$SIZE" = 7b ]; then
  A=2
  B=3
fi
for SEED in 1 2; do
  python train.py --num_generations $A --beta $B --seed $SEED
done
for LR in 1e-6; do python train.py --learning_rate $LR; done
"""
    first, second = shell.read(text, Path("run.sh"))
    assert values(first) == {
        "num_generations": "it is $A, which a branch or a loop sets in line 4",
        "beta": "it is $B, which a branch or a loop sets in line 5",
        "seed": "it is $SEED, which a loop sets",
    }
    assert values(second) == {"learning_rate": 1e-6}


@pytest.mark.parametrize(
    ("command", "processes"),
    [
        ("python train.py", 1),
        ("accelerate launch --num_processes 8 train.py", 8),
        ("accelerate launch --num_processes=$N train.py", None),
        ("accelerate launch --config_file zero3.yaml train.py", 4),
        ("accelerate launch --config_file none.yaml train.py", None),
        ("accelerate launch train.py", None),
        ("python -m accelerate.commands.launch --num_processes 3 train.py", 3),
        ("python -m torch.distributed.run --nproc_per_node 5 train.py", 5),
        ("torchrun --nproc_per_node=4 --nnodes 2 train.py", 8),
        ("torchrun train.py", 1),
        ("torchrun --nproc-per-node gpu train.py", None),
        ("CUDA_VISIBLE_DEVICES=0 deepspeed --num_gpus 2 train.py", 2),
        ("deepspeed train.py", None),
        ("srun python train.py", None),
        ("$LAUNCHER train.py", None),
    ],
)
def test_how_many_processes_train(command: str, processes: int | None, tmp_path: Path) -> None:
    (tmp_path / "zero3.yaml").write_text("num_processes: 4\n")
    config = only(f"{command} --beta 0.1\n", tmp_path)
    assert (config.processes.value if config.processes is not None else None) == processes


def test_settings_of_a_file_that_the_command_names(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("beta: 0.1\ntemperature: 0.9\n")
    config = only("trl grpo --config a.yaml --beta 0.2 --num_processes 4\n", tmp_path)
    assert values(config) == {"beta": 0.2, "temperature": 0.9, "num_processes": 4}
    assert (config.framework, config.given["temperature"].file, config.given["temperature"].line) == (
        "trl-grpo",
        "a.yaml",
        2,
    )
    assert config.processes is not None
    assert config.processes.value == 4
    assert only("trl grpo --config b.yaml --beta 0.2\n", tmp_path).open == ("line 1: b.yaml is not there",)


def test_the_script_that_is_started_tells_the_framework(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("from trl import RLOOConfig, TrlParser\nTrlParser(RLOOConfig)\n")
    assert only("python train.py --beta 0.1\n", tmp_path).framework == "trl-rloo"


def test_a_module_of_somebodys_own_that_takes_overrides() -> None:
    config = only("python -m mine.async_main actor_rollout_ref.rollout.n=1 algorithm.adv_estimator=grpo\n")
    assert values(config) == {"actor_rollout_ref.rollout.n": 1, "algorithm.adv_estimator": "grpo"}
    assert config.framework == ""


def test_verls_own_configurations_bring_their_defaults_and_others_anything() -> None:
    own = only("python -m verl.trainer.main_ppo --config-name='ppo_megatron_trainer.yaml' data.train_batch_size=8\n")
    assert own.given["actor_rollout_ref.actor.strategy"].value == "megatron"
    assert own.open == ()
    other = only("python -m verl.trainer.main_ppo --config-path=./config --config-name=mine data.train_batch_size=8\n")
    assert [reason.partition("brings")[0] for reason in other.open] == [
        "line 1: --config-name=mine ",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "echo hello\n", "pip install trl\n", "python -m pytest\n", 'echo "unclosed\n', "cat <<EOF\n"]
)
def test_scripts_that_start_no_training(text: str) -> None:
    with pytest.raises(NoConfig, match="starts no training"):
        shell.read(text, Path("run.sh"))


@pytest.mark.parametrize(
    "text",
    [
        "x=(1 2\n",
        "a='b\n",
        "${",
        "$((1+",
        "`x",
        "$(",
        "a\\",
        "<<",
        "((()",
        "case x in a) b;; esac\n",
        "\\\n",
        "f() { x; }\n",
    ],
)
def test_broken_scripts_come_to_an_end(text: str) -> None:
    with pytest.raises(NoConfig):
        shell.read(text, Path("run.sh"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1024 * 2", 2048), ("(3 + 4) / 2", 3), ("-7 / 2", -3), ("-7 % 3", -1), ("2 ** 9999", None), ("a + 1", None),
     ("1 / 0", None), ("9" * 30, None), ("__import__('os')", None), ("", None)],
)  # fmt: skip
def test_arithmetic(text: str, value: int | None) -> None:
    assert evaluated(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "A=xx\nfor i in 1; do\n" + 'A="$A$A"\n' * 40,
        "A=(x x)\n" + 'A=("${A[@]}" "${A[@]}")\n' * 40,
        "A=x\n" + "A=$A$A\n" * 40,
    ],
)
def test_variables_that_grow_without_end(text: str) -> None:
    with pytest.raises(NoConfig):
        shell.read(text, Path("run.sh"))


def test_a_long_script_is_read_in_one_pass() -> None:
    text = "read -d '' c <<EOF\ntrain_ppo_ray.py \\\n" + "--seed 1 \\\n" * 4_000 + "--top_p 0.5\nEOF\npython $c\n"
    config = only(text)
    assert config.given["top_p"].line == 4_003


@pytest.mark.parametrize("between", ["# a comment \\\n", "\n", "   \n"])
def test_arguments_that_are_cut_off_from_their_command_are_told(between: str) -> None:
    config = only(
        f"python train_ppo_ray.py --rollout_batch_size 8 \\\n{between}  --n_samples_per_prompt 8 \\\n  --seed 1\n"
    )
    assert list(config.given) == ["rollout_batch_size"]
    assert config.lost == 3
    (told,) = (one.finding for one in lint(config).findings if "cut off" in one.finding.message)
    assert told.code == "CFG012"
    assert only("python train_ppo_ray.py --seed 1\nOPTIONS=--x\necho --seed\nx.y --seed 2\n").lost == 0
