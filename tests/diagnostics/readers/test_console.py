"""Console logs: each framework's way of printing numbers, and texts that hold none."""

from __future__ import annotations

import json
import math
import random
import time
from itertools import pairwise, zip_longest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import console
from diagnostics.readers.console import Console
from diagnostics.readers.reader import HEAD
from diagnostics.readers.table import Table

ESC = "\x1b"
BAR = "\r  3%|▎         | 10/300 [07:58<3:37:31, 45.01s/it]"


def read(text: str) -> Table:
    """The table of a text, as a reader that is given it hands it on."""
    table = Table()
    whole = Console(table)
    whole.feed(text)
    whole.finish()
    return table


def values(table: Table, name: str) -> list[float]:
    return table.columns[name].since(0)[1].tolist()


def is_log(folder: Path, text: str | bytes) -> bool:
    path = folder / "log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return console.parts(path, path.read_bytes()[:HEAD]) is not None


# ---- one dialect after the other; each sample is what the framework's source prints

TRL5 = (  # transformers 5: every value is a text
    f"{BAR}\r{' ' * 80}\r{{'loss': '-0.01406', 'reward': '0.5', 'kl': 'nan', 'epoch': '0.1'}}\n"
    f"{BAR}\r{' ' * 80}\r{{'loss': '0.5', 'reward': '2.742e+04', 'kl': '0', 'epoch': '0.2'}}\n"
    f"{BAR}\r{' ' * 80}\r{{'train_runtime': '6738', 'train_loss': '0.01626', 'epoch': '0.2'}}\n"
)
VERL = "".join(
    f"{ESC}[36m(TaskRunner pid=54569){ESC}[0m step:{i} - actor/entropy:{0.5 + i} - critic/kl:-0.003 - "
    f"critic/lr(1e-4):np.float64(0.1) - training/global_step:{i}\n"
    f"(TaskRunner pid=54569) {ESC}[0m[prompt] Step 1: 2 + 3 = 5\n"
    for i in range(3)
)
VERL_CONFIG = (
    "(TaskRunner pid=1) {'actor': {'clip_ratio': 0.2,\n"
    "(TaskRunner pid=1)            'optim': {'lr': 1e-06, 'warmup': None}},\n"
    "(WorkerDict pid=2) Model config after override: x\n"
    "(TaskRunner pid=1)  'data': {'train_batch_size': 256, 'shuffle': True}}\n"
)
OPENRLHF = "".join(
    f"(PPOTrainer pid=7) INFO 11-21 10:00:0{i} ppo_trainer.py:551] ✨ Global step {i}: "
    f"{{'policy_loss': 0.{i}, 'kl': 0.01, 'reward': -1.5, 'generate_time': '00:12'}}\n"
    f"(ActorModelRayActor pid=8) Train epoch [1/1]: 100%|██████████| 4/4 [00:12<00:00,  3.1s/it, act_loss=0.9]\n"
    for i in range(1, 4)
)
DEEPSPEED = "".join(
    f"epoch: 0|step: {i}|ppo_ep: 1|act_loss: 0.{i}|cri_loss: nan|unsuper_loss: 0.0\n"
    f"average reward score: {i}.25\n{'-' * 85}\n"
    f"|E2E latency=3.74s |Gather latency=0.00s (0.00%) |Generate time=2.55s (68.17%) |Others=0.22 (5.76%)\n"
    f"[2023-04-18 08:48:0{i},543] [INFO] [logging.py:96:log_dist] [Rank 0] step={i}, skipped=2, lr=[9.6e-06]\n"
    f"epoch=0/micro_step={i}/global_step={i}, RunningAvgSamplesPerSec=21.8, MemAllocated=13.49GB\n"
    for i in range(1, 5)
)
DEEPSPEED_NOW = "".join(
    f"Epoch: 0 | Step: {i} | PPO Epoch: 1 | Actor Loss: 0.{i} | Critic Loss: 0.25 | Unsupervised Loss: 0\n"
    f"End-to-End => Latency: 3.74s, TFLOPs: 12.30, Samples/sec: 17.12, Time/seq 0.06s, Batch Size: 64\n"
    f"Average reward score: {i}.25 | EMA reward score: 0\n{'-' * 85}\n"
    for i in range(1, 5)
)
PRIME = "".join(
    f"{ESC}[32m10:00:0{i}{ESC}[0m | {ESC}[1mSUCCESS{ESC}[0m | Step {i} | Time: 12.34s | Loss: 0.{i} | Entropy: 0.41 | "
    f"Mismatch KL: 0.0012 | LR: 1.00e-06 | Throughput: 9000 tokens/s | MFU: 31.5% | Peak Mem.: 10.1/80.0 GiB (12.6%)\n"
    for i in range(4)
)
NEMO = "".join(
    f"\n{'=' * 25} Step {i}/100 {'=' * 25}\n▶ Preparing batch...\n\n📊 Training Results:\n  • Loss: 0.0{i}00\n"
    f"  • Avg Reward: 0.{i}\n  • Mean Generation Length: 312.5000\n\n⏱️  Timing:\n  • Total step time: 31.20s\n"
    f"  • policy_training: 12.11s (38.8%)\n"
    for i in range(1, 4)
)
SKYRL = "".join(
    f"2026-01-02 10:00:0{i}.123 | INFO     | skyrl.train.utils.tracking:log:189 - Step {i}: \n"
    f"{{'loss/avg_final_rewards': '0.{i}000',\n 'policy/policy_kl': '0.0010',\n 'trainer/global_step': {i}}}\n"
    for i in range(1, 4)
)
TORCHTUNE = "".join(f"Step {i} | loss:1.{i} lr:2e-05 kl_loss:nan \n" for i in range(1, 5))
BOXES = "".join(
    "-----------------------------\n| rollout/           |      |\n|    ep_rew_mean     | 22.3 |\n"
    f"| time/              |      |\n|    total_timesteps | {2048 * i} |\n"
    + ("" if i == 1 else "| train/             |      |\n|    approx_kl       | 0.01 |\n")
    + "-----------------------------\n"
    for i in range(1, 4)
)
CLEANRL = "".join(f"global_step={64 * i}, episodic_return=[{20 + i}.]\nSPS: 812\n" for i in range(1, 5))
MINIMIND = "".join(
    f"Epoch:[{e}/2]({i}/3), Reward: 0.{i}, KL_ref: -0.0050, Adv Std: 0.9248, LR: 0.00000100\n"
    for e in (1, 2)
    for i in (1, 2, 3)
)
BY_HAND = "".join(
    f"[Train] step {i:>3}/100 | loss -0.{i} | reward 1.2 ± 0.3 | acc 25.5% | eta 0:01:0{i}\n"
    + (f"[Eval] step {i}: reward = 0.7, acc = 50%\n" if i == 4 else "")
    for i in range(1, 7)
)


UNDER = "".join(f"\n===== Step {i}/100 =====\nMean reward: 0.{i}\nKL = 0.02\nAnswer: 42\nLen: 3\n" for i in range(1, 5))
INDENTED = "".join(
    f"Step {i}: Loss = 0.{i}, Reward = 1\n  Accuracy: 12.00% (3/25)\n  KL divergence: 0.5\n  Answer: 7\n"
    for i in range(1, 5)
)
LOGGING = "".join(
    f"10/22/2025 10:00:0{i} - INFO - __main__ - Epoch 1/3, Step {i}/500, Loss: 0.{i}, Reward: 1.2\n"
    for i in range(1, 5)
)
SLIME = "".join(f"rollout {i}: {{'rollout/raw_reward': 0.{i}, 'rollout/entropy': 1.0}}\n" for i in range(1, 5))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TRL5, {"loss": [-0.01406, 0.5], "reward": [0.5, 27420.0], "kl": [math.nan, 0.0], "train_loss": [0.01626]}),
        (VERL, {"step": [0, 1, 2], "actor/entropy": [0.5, 1.5, 2.5], "critic/lr(1e-4)": [0.1] * 3,
                "critic/kl": [-0.003] * 3}),
        (OPENRLHF, {"global_step": [1, 2, 3], "policy_loss": [0.1, 0.2, 0.3], "reward": [-1.5] * 3}),
        (DEEPSPEED, {"step": [1, 2, 3, 4], "act_loss": [0.1, 0.2, 0.3, 0.4], "cri_loss": [math.nan] * 4,
                     "average reward score": [1.25, 2.25, 3.25, 4.25]}),
        (DEEPSPEED_NOW, {"Step": [1, 2, 3, 4], "Actor Loss": [0.1, 0.2, 0.3, 0.4], "EMA reward score": [0] * 4,
                         "Average reward score": [1.25, 2.25, 3.25, 4.25]}),
        (PRIME, {"Step": [0, 1, 2, 3], "Loss": [0.0, 0.1, 0.2, 0.3], "MFU": [0.315] * 4, "Mismatch KL": [0.0012] * 4,
                 "LR": [1e-6] * 4}),
        (NEMO, {"step": [1, 2, 3], "Loss": [0.01, 0.02, 0.03], "Avg Reward": [0.1, 0.2, 0.3]}),
        (SKYRL, {"step": [1, 2, 3], "loss/avg_final_rewards": [0.1, 0.2, 0.3], "trainer/global_step": [1, 2, 3]}),
        (TORCHTUNE, {"Step": [1, 2, 3, 4], "loss": [1.1, 1.2, 1.3, 1.4], "lr": [2e-5] * 4, "kl_loss": [math.nan] * 4}),
        (BOXES, {"rollout/ep_rew_mean": [22.3] * 3, "time/total_timesteps": [2048, 4096, 6144],
                 "train/approx_kl": [0.01] * 2}),
        (CLEANRL, {"global_step": [64, 128, 192, 256], "episodic_return": [21, 22, 23, 24]}),
        (MINIMIND, {"step": [1, 2, 3, 4, 5, 6], "Adv Std": [0.9248] * 6, "Epoch": [1, 1, 1, 2, 2, 2]}),
        (BY_HAND, {"step": [1, 2, 3, 4, 5, 6], "acc": [0.255] * 6, "reward": [1.2] * 6, "Eval/acc": [0.5],
                   "Eval/reward": [0.7]}),
        (UNDER, {"step": [1, 2, 3, 4], "Mean reward": [0.1, 0.2, 0.3, 0.4], "KL": [0.02] * 4}),
        (INDENTED, {"Step": [1, 2, 3, 4], "Loss": [0.1, 0.2, 0.3, 0.4], "Accuracy": [0.12] * 4,
                    "KL divergence": [0.5] * 4}),
        (LOGGING, {"Epoch": [1] * 4, "Step": [1, 2, 3, 4], "Loss": [0.1, 0.2, 0.3, 0.4]}),
        (SLIME, {"rollout": [1, 2, 3, 4], "rollout/raw_reward": [0.1, 0.2, 0.3, 0.4]}),
    ],
)  # fmt: skip
def test_a_dialect(tmp_path, text, expected):
    table = read(text)
    for name, numbers in expected.items():
        assert values(table, name) == pytest.approx(numbers, nan_ok=True), name
    assert not table.lost
    rows = max(map(len, expected.values()))
    assert table.rows == rows
    assert is_log(tmp_path, text)
    shouting = (
        f"pip output 1.2.3\n{text}\nTraceback (most recent call last):\n  File 'x.py', line 3\nValueError: loss: 3"
    )
    assert read(shouting).rows == rows


def test_a_bar_may_split_a_dict_and_stand_on_its_line():
    row = "{'loss': 0.25, 'reward': tensor(1.5, device='cuda:0'), 'kl': np.float64(-0.5), 'epoch': 0.01}"
    for bar in (BAR, BAR + "\r", BAR.lstrip("\r")):
        for cut in (0, 9, 14, 20, len(row)):
            table = read((row[:cut] + bar + row[cut:] + "\n") * 2)
            assert (values(table, "loss"), values(table, "reward"), values(table, "kl")) == (
                [0.25] * 2,
                [1.5] * 2,
                [-0.5] * 2,
            )
    assert values(read(f"100%|██████████| 3/3 [00:01<00:00, 1it/s]{row}{row}\n"), "loss") == [0.25] * 2


def test_rows_before_the_names_have_come_again_are_kept_in_their_order():
    table = read(
        "{'eval_loss': 3.0, 'eval_reward': 0.1, 'epoch': 0}\n"
        + "{'loss': 1.0, 'lr': 0.1, 'epoch': 0.5}\n" * 2
        + "{'loss': 2.0, 'lr': 0.1, 'kl': 0.5, 'epoch': 0.6}\n"
    )
    assert values(table, "epoch") == [0, 0.5, 0.5, 0.6]
    assert table.columns["kl"].since(0)[0].tolist() == [3]
    assert not table.lost


def test_one_line_of_a_step_may_follow_another():
    table = read("".join(f"step:{i} - actor/loss:0.{i} - a:1\nstep:{i} - val/acc:0.5 - b:1\n" for i in range(1, 4)))
    assert table.rows == 3
    assert values(table, "val/acc") == [0.5] * 3
    again = read("".join(f"step:{i} - actor/loss:0.{i} - a:1\n" for i in (1, 2, 2, 3)))
    assert values(again, "step") == [1, 2, 2, 3]  # logged twice: what it means is settled elsewhere


def test_bars_are_rows_only_where_nothing_is_better():
    bars = "".join(
        f"\rtrain:  3%|▎  | {i}/60 [00:01<00:10, 1.0it/s, reward=0.{i // 2}, kl=1e-3]"
        for i in range(1, 61)
        for _ in (0, 1)
    )
    table = read(bars + "\n")
    assert values(table, "step") == list(range(1, 61))
    assert values(table, "reward")[1] == 0.1
    assert set(read(bars + "\n" + TRL5).columns) == set(read(bars).columns) | set(read(TRL5).columns)
    assert set(read(TRL5 + bars).columns) == set(read(TRL5).columns)
    inner = "".join(f"\r  3%|▎  | {i}/4 [00:01<00:10, 1.0it/s, loss=0.{i}]" for _ in range(3) for i in range(1, 5))
    assert values(read(inner), "loss") == [0.1, 0.2, 0.3, 0.4] * 3
    assert "step" not in read(inner).columns


def test_chunks_of_a_stream_are_put_together_before_they_are_cut_into_lines():
    text = TRL5.replace("\n", "\r\n")
    chunks = [text[i : i + 37] for i in range(0, len(text), 37)]
    noise = {"stream_name": "stderr", "time": 1.0, "data": "half of a warn"}
    stream = [entry for data in chunks for entry in ({"stream_name": "stdout", "time": 2.5, "data": data}, noise)]
    lines = "[" + "\n,".join(map(json.dumps, stream)) + "\n]"
    one = json.dumps(stream)
    for written in (lines, one):
        table = read(written)
        assert values(table, "loss") == [-0.01406, 0.5]
        assert not table.lost
    assert read(lines.replace('"time"', "time", 1)).lost == {console.NO_CHUNK: 1}


def test_what_one_stream_prints_in_several_lines_is_not_broken_by_another():
    lines = ["{'step': 1,\n", " 'loss': 0.5,\n", " 'reward': 2.0}\n"] * 2
    stream = [e for line in lines for e in (("stdout", line), ("stderr", "  'loss': a warning, {indented}\n"))]
    table = read("\n".join(json.dumps({"stream_name": name, "time": 1, "data": line}) for name, line in stream))
    assert values(table, "loss") == [0.5, 0.5]


def test_a_line_of_bars_without_end_is_cut_between_them():
    row = "{'loss': 0.25, 'reward': 1.5, 'epoch': 0.01}"
    for before in range(console.LONGEST - 50, console.LONGEST + 10, 7):
        assert values(read("x" + "\r" * before + row + "\r" * 99 + row), "loss") == [0.25] * 2


def test_supervised_rows_before_the_grpo_rows_are_kept():
    table = read("Step 1 | sft_loss: 2.0 | lr: 0.1\n" * 3 + MINIMIND)
    assert values(table, "sft_loss") == [2.0] * 3
    assert len(values(table, "Reward")) == 6


# ---- settings


def test_settings_that_were_printed_are_the_runs():
    table = read(VERL_CONFIG + VERL)
    assert table.settings["actor"] == {"clip_ratio": 0.2, "optim": {"lr": 1e-06, "warmup": None}}
    assert table.settings["data"] == {"train_batch_size": 256, "shuffle": True}
    assert table.rows == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cmd = deepspeed main.py --actor_learning_rate 9.65e-6 --deepspeed --seed=3 --name x\n",
         {"actor_learning_rate": 9.65e-6, "deepspeed": True, "seed": 3, "name": "x"}),
        ("+ python3 -m verl.trainer.main_ppo algorithm.kl_ctrl.kl_coef=0.001 +trainer.x='a b' data.size=-1\n",
         {"algorithm.kl_ctrl.kl_coef": 0.001, "trainer.x": "a b", "data.size": -1}),
        ("Namespace(lr=1e-05, beta=None, model='a(b', eps=(0.1, 0.2), f=<function f>, steps=5)\n", {}),
        ("Namespace(lr=1e-05, beta=None, model='a(b', eps=(0.1, 0.2), steps=5)\n",
         {"lr": 1e-05, "beta": None, "model": "a(b", "eps": (0.1, 0.2), "steps": 5}),
        ("GRPOConfig(\n_n_gpu=1,\nbeta=0.04,\nstrategy=<Strategy.NO: 'no'>,\nbf16=True,\nlr=1e-06,\nseed=42,\n)\n",
         {"_n_gpu": 1, "beta": 0.04, "bf16": True, "lr": 1e-06, "seed": 42}),
        ("see https://example.com/a?b=c for python help --now\n", {}),
        ("{'a': __import__('os').system('x'),\n 'b': 1, 'c': 2, 'd': 3, 'e': 4, 'f': 5}\n", {}),
    ],
)  # fmt: skip
def test_what_was_given(text, expected):
    assert read(text + TRL5).settings == expected


@pytest.mark.parametrize(
    "text", ["-" * 60_000 + "1", "1+" * 30_000 + "1", "[" * 60_000, "{1:" * 20_000, "{{}: 1}", "'\\d'"]
)
def test_settings_that_would_overwhelm_a_parser_are_none(text):
    table = read("{'a': " + text + ",\n 'b': 2, 'c': 3, 'd': 4, 'e': 5}\n" + TRL5)
    assert table.rows == 2


# ---- what is no log

CHAT = "".join(
    f"User: Natalia sold {i} clips. How many?\nAssistant: Step 1: x = {i}, y = 4\nStep 2: {i} + 4 = {i + 4}\n"
    f"Answer: {i + 4}\nScore: 1\n\n"
    for i in range(200)
)
CODE = "".join(
    f"""def step_{i}(step=10, loss=0.3):
    config = {{'lr': 1e-4, 'beta': 0.1}}
    runs = [
        {{'lr': 1, 'beta': 2}},
        {{'lr': 1, 'beta': 3}},
    ]
    train(step=10, loss=0.3)
    print('step 10 | loss 0.3 | reward 1.2')
    x = {i}; y = 3
    return {{'a': 1, 'b': 2}}
"""
    for i in range(100)
)
MARKDOWN = (
    "# Results\n\n| model | reward | kl |\n|---|---|---|\n"
    + "| base | 0.5 | 0.1 |\n" * 20
    + "\n- Loss: 0.5\n- KL: 1\n" * 9
)
PIP = "".join(
    f"Collecting numpy>=1.2{i}\n  Downloading numpy-1.2{i}.0-cp311.whl (18.{i} MB)\n"
    f"     ━━━━━━━━━━━━━━━━ 18.{i}/18.3 MB 50.1 MB/s eta 0:00:00\nRequirement already satisfied: pip in /x (24.0)\n"
    for i in range(30)
)
YAML = "".join(
    f"- name: run {i}\n  max_steps: 100\n  learning_rate: 1e-5\n  reward: exact\n  step: 10\n" for i in range(50)
)
CSV = "step,loss,reward\n" + "".join(f"{i},0.{i},1.0\n" for i in range(50))


@pytest.mark.parametrize(
    "text",
    [
        CHAT, CODE, MARKDOWN, PIP, YAML, CSV, "", "x", "\n" * 99, "loss 1\n" * 99, "step 1 | loss 0.5\n" * 2,
        TRL5.split("\n")[0] + "\n",
    ],
)  # fmt: skip
def test_what_is_no_log(tmp_path, text):
    assert not is_log(tmp_path, text)
    assert read(text).rows == 0


def test_samples_between_rows_are_no_rows():
    rows = MINIMIND.splitlines(keepends=True)
    table = read("".join(row + CHAT + CODE for row in rows))
    assert table.rows == 6
    assert set(table.columns) == set(read(MINIMIND).columns)
    assert not table.lost


def test_binary_files_and_jsonl_are_not_claimed(tmp_path):
    assert not is_log(tmp_path, b"\x00\x01\x02\xff" * 5000 + TRL5.encode())
    assert not is_log(tmp_path, '{"step": 1, "loss": 0.5}\n' * 9)


def test_the_first_row_may_come_late(tmp_path):
    assert is_log(tmp_path, "Fetching files: nothing to see\n" * 60_000 + TRL5)
    assert not is_log(tmp_path, "Fetching files: nothing to see\n" * 200_000 + TRL5)


# ---- damage


def test_what_is_cut_is_counted():
    rows = MINIMIND.splitlines()
    table = read("\n".join([*rows[:4], rows[4][: len(rows[4]) // 2], rows[5]]))
    assert table.lost == {console.CUT: 1}
    assert 4 <= table.rows <= 6
    table = read("{'loss': 1.0, 'kl': 0.5, 'reward': 2}\n" * 3 + "{'loss': 1.0, 'kl': 0.5, 'rewar\n")
    assert (table.rows, table.lost) == (3, {console.CUT: 1})
    table = read("step:1 - a:1 - b:2 - c:3\nstep:2 - a:1 - b:2 - c:3\nstep:3 - a:1 - b:(other) x - c:3\n")
    assert (table.rows, table.lost) == (3, {console.CUT: 1})
    assert values(table, "b") == [2, 2]


def test_the_last_number_of_a_line_that_is_cut_between_fields_is_not_trusted():
    table = read("step 1 | loss 0.5 | reward 0.25\n" * 3 + "step 2 | loss 0.1\n")
    assert values(table, "loss") == [0.5] * 3
    assert table.lost == {console.CUT: 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-8"])
def test_any_encoding(tmp_path, encoding):
    path = tmp_path / "log"
    path.write_bytes(BY_HAND.encode(encoding))
    assert console.parts(path, path.read_bytes()[:HEAD]) == ("",)
    reader = console.open_log([path], "")
    while reader.poll():
        pass
    reader.finish()
    assert values(reader.table, "step") == [1, 2, 3, 4, 5, 6]
    assert not reader.table.lost


def test_bytes_that_are_no_text_are_counted(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(BY_HAND.encode("latin-1", "replace"))
    reader = console.open_log([path], "")
    while reader.poll():
        pass
    reader.finish()
    assert reader.table.lost == {"characters that are no utf-8": 6}


# ---- growth

ALL = "\n".join([VERL_CONFIG, TRL5, VERL, OPENRLHF, DEEPSPEED, PRIME, NEMO, SKYRL, BOXES, CLEANRL, BY_HAND, CHAT[:500]])
STREAM = "".join(
    json.dumps({"stream_name": "stdout", "time": 1, "data": ALL[i : i + 50]}) + "\n," for i in range(0, 5000, 50)
)


def contents(table: Table) -> object:
    columns = {name: [part.tolist() for part in column.since(0)] for name, column in table.columns.items()}
    return repr((columns, table.rows, table.settings, dict(table.lost), table.texts))


@given(st.sampled_from([ALL, STREAM, "\r".join([BAR] * 2000) + ALL]), st.lists(st.integers(0, 30_000), max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_parts_in_which_a_text_comes_make_no_difference(text, cuts):
    table = Table()
    growing = Console(table)
    places = sorted({0, *(cut % len(text) for cut in cuts), len(text)})
    for a, b in pairwise(places):
        growing.feed(text[a:b])
    growing.finish()
    assert contents(table) == contents(read(text))


def test_a_growing_file_is_followed(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"")
    reader = console.open_log([path], "")
    raw = BY_HAND.encode()
    with path.open("ab", buffering=0) as file:
        for i in range(0, len(raw), 7):
            file.write(raw[i : i + 7])
            while reader.poll():
                pass
    assert 4 <= reader.table.rows <= 6
    reader.finish()
    assert contents(reader.table) == contents(read(BY_HAND))


DIALECTS = [TRL5, VERL, OPENRLHF, DEEPSPEED, PRIME, NEMO, SKYRL, TORCHTUNE, BOXES, CLEANRL, MINIMIND, BY_HAND, STREAM]
STRANGE = [
    "\x00" * 40,
    "\x1b[2J",
    "9" * 5000,
    "{" * 3000,
    "'" * 999,
    "[" * 3000,
    "1e999",
    "\r",
    "|" * 999,
    "(" * 999,
    "a=1 " * 999,
]


def damaged(text: str, rng: random.Random) -> str:
    """`text` with a few places cut out, overwritten, filled with something strange, or mixed with another log."""
    for _ in range(rng.randrange(1, 6)):
        a = rng.randrange(len(text))
        b = min(len(text), a + rng.choice((1, 3, 40, 400)))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:a] + text[b:]
        elif kind == 1:
            text = (
                text[:a]
                + "".join(chr(rng.choice((rng.randrange(32), rng.randrange(0x250)))) for _ in text[a:b])
                + text[b:]
            )
        elif kind == 2:
            text = text[:a] + rng.choice(STRANGE) + text[a:]
        elif kind == 3:
            other = rng.choice(DIALECTS).splitlines(keepends=True)
            text = "".join(
                line for pair in zip_longest(text.splitlines(keepends=True), other, fillvalue="") for line in pair
            )
        else:
            text = text[: max(a, 20)]
    return text


@pytest.mark.parametrize("seed", range(12))
def test_damage_raises_nothing_and_takes_no_time(seed):
    rng = random.Random(seed)
    for text in DIALECTS:
        for _ in range(3):
            began = time.process_time()
            table = read(damaged(text * 3, rng))
            assert time.process_time() - began < 10  # a hang, not a budget
            assert all(len(name) < 1000 for name in table.columns)


@pytest.mark.parametrize("text", STRANGE)
def test_a_line_of_nothing_but_one_thing_takes_no_time(text):
    began = time.process_time()
    read((text * (200_000 // len(text)) + "\n") * 3 + TRL5 + "step=1 loss=" + text + "\n{'loss': " + text)
    assert time.process_time() - began < 10  # a hang, not a budget


@pytest.mark.parametrize(
    ("text", "name"), [(OPENRLHF.replace("\r", ""), "policy_loss"), (VERL, "actor/entropy"), (PRIME, "Loss")]
)
def test_what_is_cut_out_of_rows_is_missing_or_counted_but_nothing_is_made_up(text, name):
    rng = random.Random(1)
    whole = read(text)
    known = {number for column in whole.columns.values() for number in column.since(0)[1].tolist()}
    for _ in range(200):
        a = rng.randrange(len(text))
        lines = text.count("\n", 0, a) + 1
        table = read(text[:a])
        numbers = [number for column in table.columns.values() for number in column.since(0)[1].tolist()]
        assert sum(number not in known for number in numbers) <= 1  # the one that was cut
        assert table.rows <= lines


def test_the_same_line_may_be_a_row_of_two_processes():
    lines = "".join(f"[rank{rank}]: step {i} | loss {rank}.{i} | kl 0.1\n" for i in range(1, 5) for rank in (0, 1))
    assert values(read(lines), "loss") == [0.1, 1.1, 0.2, 1.2, 0.3, 1.3, 0.4, 1.4]


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "log"
    path.write_text(MINIMIND + "Epoch:[1/")
    reader = console.open_log([path], "")
    while reader.poll():
        pass
    path.write_text(MINIMIND[: len(MINIMIND) // 2])
    while reader.poll():
        pass
    reader.finish()
    assert values(reader.table, "step") == [1, 2, 3, 4, 5, 6, 1, 2, 3]


BEGINNINGS = [
    "",
    "{'a': ",
    "step:1 - a:",
    "step 1 | loss: 0.1 | reward",
    "-----------\n| ",
    "= Step 1 =\n• ",
    "10%|",
    "python ",
]
REPEATED = [
    " ",
    "a ",
    "a=",
    "1 ",
    "1:",
    "| ",
    "(",
    "'a'",
    "%| ",
    "10%|x| 1/2 [",
    " - ",
    "a=1, ",
    "{",
    "[",
    "a.py:",
    "a:a:",
    "--a ",
]


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_line_takes_more_than_its_length(beginning):
    began = time.process_time()
    for repeated in REPEATED:
        read(beginning + repeated * (60_000 // len(repeated)) + "\n" + TRL5)
    assert time.process_time() - began < 10  # a hang, not a budget


def test_a_run_of_wandb_without_its_run_file_has_its_settings(tmp_path: Path):
    files = tmp_path / "run-20250101_000000-abc" / "files"
    files.mkdir(parents=True)
    (files / "output.log").write_text("".join(f"{{'loss': 0.{i}, 'kl': 0.{i}}}\n" for i in range(1, 9)))
    (files / "config.yaml").write_text("beta:\n    value: 0.04\n")
    (files / "requirements.txt").write_text("trl==0.19.0\n")
    reader = console.open_log((files / "output.log",), "")
    while reader.poll():
        pass
    reader.finish()
    assert reader.table.rows == 8
    assert reader.table.settings == {"beta": 0.04}
    assert reader.table.packages == {"trl": "0.19.0"}
