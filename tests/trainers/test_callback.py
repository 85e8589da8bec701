"""AutotuneCallback beside trainers that somebody else made."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainingArguments
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from diagnostics.errors import UserError
from diagnostics.events import CheckpointSaved, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Severity
from diagnostics.metrics import is_metric
from diagnostics.readers import events as reader
from diagnostics.rule import Alarm, Told, rule
from diagnostics.series import RunHistory
from trainers.callback import AutotuneCallback
from trainers.instrument import instrument

from ..conftest import LETTERS
from .conftest import envelopes, events, likes_a

HOME = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOTUNE_TRIAL_DIR", raising=False)


@pytest.fixture
def stranger(tiny_model: Path) -> Callable[..., Any]:
    """Makes a trainer of `kind` with callbacks."""

    def make(
        *callbacks: Any,
        kind: type[GRPOTrainer | RLOOTrainer] = GRPOTrainer,
        reward: Callable[..., list[Any]] = likes_a,
        prompts: int = 64,
        peft_config: Any = None,
        **options: Any,
    ) -> Any:
        settings: dict[str, Any] = {
            "output_dir": "out",
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 5,
            "max_steps": 3,
            "beta": 0.04,
            "learning_rate": 3e-3,
            "bf16": False,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }
        config = GRPOConfig if kind is GRPOTrainer else RLOOConfig
        rows = [{"prompt": f"{a} {b} "} for a in LETTERS for b in LETTERS]
        trainer = kind(
            model=str(tiny_model),
            reward_funcs=reward,
            args=config(**{**settings, **options}),
            train_dataset=Dataset.from_list(rows[:prompts]),
            eval_dataset=Dataset.from_list(rows[:8]),
            peft_config=peft_config,
            callbacks=list(callbacks),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


@pytest.fixture
def alarming(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is an error from step 2 on, and the only one."""

    @rule("TST001", Severity.ERROR, needs=["reward_mean"], fires=(), quiet=())
    def second_step(run: RunHistory) -> Iterator[Alarm]:
        steps = run["reward_mean"].steps
        yield Alarm(
            Severity.ERROR, steps, steps >= 2, lambda i: Told("it is the \x1b[31msecond step", int(steps[i]), ())
        )

    monkeypatch.setattr("diagnostics.catalogue.here", lambda *_: {"TST001": second_step})


def rows(folder: str | Path) -> list[MetricsLogged]:
    return [event for event in events(Path(folder)) if isinstance(event, MetricsLogged)]


def lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("autotune: ")]


def test_two_lines_write_a_run_that_can_be_read(stranger: Callable[..., Any], capsys: pytest.CaptureFixture) -> None:
    stranger(AutotuneCallback(reward_bounds=(0.0, 1.0))).train()
    (folder,) = Path("autotune-runs").iterdir()
    assert folder.name == "out-1"
    start, *_, end = events(folder)
    assert isinstance(start, RunStarted) and end == RunEnded(3, Outcome.FINISHED)
    assert (start.framework, start.reward_bounds, start.notes) == ("trl-grpo", (0.0, 1.0), ())
    expected = {
        "learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 4,
        "batch_size": 16, "max_completion_length": 5, "dataset_size": 64, "unique_prompts": 64, "max_steps": 3,
        "precision": "fp32", "peft": False,
    }  # fmt: skip
    assert expected.items() <= start.settings.items()
    assert [row.step for row in rows(folder)] == [1, 2, 3]
    for row in rows(folder):
        assert all(is_metric(name) for name in row.metrics) and not row.unmapped
        assert {"reward_mean", "entropy.token", "grad_norm", "kl.reference.unknown.token"} <= row.metrics.keys()
    run = reader.read(folder)
    assert run["reward_mean"].steps.tolist() == [1, 2, 3] and not run.notes
    assert f"autotune diagnose {folder}" in lines(capsys.readouterr().err)[0]


def test_a_name_means_what_the_settings_of_the_run_say(stranger: Callable[..., Any]) -> None:
    stranger(AutotuneCallback("here"), max_steps=1, use_bias_correction_kl=False).train()
    (row,) = rows("here")
    assert "kl.reference.k3.token" in row.metrics and "kl.reference.unknown.token" not in row.metrics


def test_findings_are_lines_on_stderr_that_cannot_move_the_cursor(
    stranger: Callable[..., Any], alarming: None, capsys: pytest.CaptureFixture
) -> None:
    stranger(AutotuneCallback("here")).train()
    told = lines(capsys.readouterr().err)
    assert told[1:] == ["autotune: ERROR TST001 second_step at step 2: it is the \\x1b[31msecond step"]
    assert [row.step for row in rows("here")] == [1, 2, 3]  # nobody asked it to stop


@pytest.mark.parametrize("stop_on", ["error", Severity.WARNING])
def test_a_finding_ends_training_where_asked(stranger: Callable[..., Any], alarming: None, stop_on: Any) -> None:
    trainer = stranger(AutotuneCallback("here", stop_on=stop_on), max_steps=8)
    trainer.train()
    assert trainer.state.global_step == 2
    assert events(Path("here"))[-1] == RunEnded(2, Outcome.STOPPED, "TST001 second_step: it is the \x1b[31msecond step")


def test_a_lesser_finding_does_not(stranger: Callable[..., Any], alarming: None) -> None:
    stranger(AutotuneCallback("here", stop_on="fatal")).train()
    assert events(Path("here"))[-1] == RunEnded(3, Outcome.FINISHED)


def test_a_severity_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="unknown severity 'deadly'; choose one of info, warning"):
        AutotuneCallback(stop_on="deadly")


def test_rloo_speaks_its_own_words(stranger: Callable[..., Any]) -> None:
    stranger(AutotuneCallback("here"), kind=RLOOTrainer).train()
    start, *_ = events(Path("here"))
    assert isinstance(start, RunStarted) and start.framework == "trl-rloo"
    assert start.settings["kl_coef"] == 0.04 and start.settings["batch_size"] == 16
    for row in rows("here"):
        assert {"reward_mean", "kl.reference.k1.token", "clip_fraction.sequence"} <= row.metrics.keys()
        assert "clip_fraction.token" not in row.metrics
        assert "zero_std_share" not in row.metrics  # `frac_reward_zero_std` is of the reward less the KL penalty
        assert not row.unmapped
    assert [row.metrics["completions_generated"] for row in rows("here")] == [16, 32, 48]


def test_a_plain_trainer(tiny_model: Path) -> None:
    ids = [{"input_ids": [3, 4, 5, 0], "labels": [3, 4, 5, 0]}] * 8
    args = TrainingArguments(
        "out", max_steps=4, logging_steps=2, eval_strategy="steps", eval_steps=2, report_to="none", disable_tqdm=True,
        use_cpu=True, save_strategy="no", run_name="plain/one",
    )  # fmt: skip
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(tiny_model), args, train_dataset=ids, eval_dataset=ids,
        callbacks=[AutotuneCallback()],
    )  # fmt: skip
    trainer.train()
    start, *_ = events(Path("autotune-runs/one-1"))
    assert isinstance(start, RunStarted) and start.framework == "transformers" and start.settings["max_steps"] == 4
    assert [row.step for row in rows("autotune-runs/one-1")] == [2, 4]
    for row in rows("autotune-runs/one-1"):
        assert row.metrics.keys() == {"total_loss", "grad_norm", "learning_rate", "eval_loss"} and not row.unmapped


def test_an_adapter_is_seen(stranger: Callable[..., Any]) -> None:
    from peft import LoraConfig

    stranger(AutotuneCallback("here"), peft_config=LoraConfig(r=2, target_modules=["c_attn"]), max_steps=1).train()
    start, *_ = events(Path("here"))
    assert isinstance(start, RunStarted) and start.settings["peft"] is True


def test_rows_of_an_evaluation_belong_to_the_step(stranger: Callable[..., Any]) -> None:
    stranger(
        AutotuneCallback("here"),
        eval_strategy="steps",
        eval_steps=2,
        eval_on_start=True,
        per_device_eval_batch_size=16,
        max_steps=4,
    ).train()
    assert [row.step for row in rows("here")] == [0, 1, 2, 3, 4]
    assert ["eval_reward" in row.metrics for row in rows("here")] == [True, False, True, False, True]
    assert "reward_mean" in rows("here")[2].metrics
    assert rows("here")[0].metrics["completions_generated"] == 0


def test_logging_every_other_step(stranger: Callable[..., Any]) -> None:
    stranger(AutotuneCallback("here"), logging_steps=2, max_steps=5).train()
    assert [row.step for row in rows("here")] == [2, 4, 5]
    assert [row.metrics["completions_generated"] for row in rows("here")] == [32, 64, 80]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_iterations": 2, "max_steps": 5},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
        {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "steps_per_generation": 4, "max_steps": 7},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "steps_per_generation": 2},
        {"prompts": 10, "max_steps": 8},  # epochs that end with prompts left over
        {
            "prompts": 6, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4,
            "steps_per_generation": 1, "max_steps": 5,
        },  # epochs that end in the middle of an accumulation
    ],
)  # fmt: skip
def test_the_completions_are_those_that_were_sampled(stranger: Callable[..., Any], options: dict[str, Any]) -> None:
    trainer, seen = stranger(AutotuneCallback("here"), **options), []
    instrument(trainer, seen.append)
    trainer.train()
    counted = {e.step: e.metrics["completions_generated"] for e in seen if isinstance(e, MetricsLogged)}
    assert {row.step: row.metrics["completions_generated"] for row in rows("here")} == counted


def test_no_number_is_told_as_such(stranger: Callable[..., Any]) -> None:
    def reward(completions: list[str], log_metric: Callable[[str, float], None], **_: Any) -> list[None]:
        log_metric("vowels", 3.0)
        return [None] * len(completions)

    stranger(AutotuneCallback("here"), reward=reward, max_steps=1).train()
    (row,) = rows("here")
    assert math.isnan(row.metrics["reward_mean"])
    assert row.unmapped == {"vowels": 3.0}


def test_training_twice_makes_two_attempts(stranger: Callable[..., Any]) -> None:
    trainer = stranger(AutotuneCallback("here"), max_steps=2)
    trainer.train()
    trainer.evaluate()  # between two runs, and of neither
    trainer.train()
    told = envelopes(Path("here"))
    assert [e.seq for e in told] == list(range(len(told)))
    assert [e.attempt for e in told if isinstance(e.event, RunStarted | RunEnded)] == [1, 1, 2, 2]
    assert [row.metrics["completions_generated"] for row in rows("here")] == [16, 32, 16, 32]
    assert reader.read(Path("here"))["reward_mean"].steps.tolist() == [1, 2]


def test_a_resumed_run_goes_on_in_its_file(stranger: Callable[..., Any], alarming: None) -> None:
    stranger(AutotuneCallback("here"), max_steps=4, save_strategy="steps", save_steps=2).train()
    assert [e.path for e in events(Path("here")) if isinstance(e, CheckpointSaved)] == [
        f"../out/checkpoint-{step}" for step in (2, 4)
    ]
    stranger(AutotuneCallback("here"), max_steps=4).train(resume_from_checkpoint="out/checkpoint-2")
    second = [e.event for e in envelopes(Path("here")) if e.attempt == 2]
    assert isinstance(second[0], RunStarted) and second[0].step == 3
    told = [(e.step, e.metrics["completions_generated"]) for e in second if isinstance(e, MetricsLogged)]
    assert told == [(3, 48), (4, 64)]
    # The rule had fired at step 2, which the watch remembers.
    assert not any(isinstance(event, FindingRaised) for event in second)


def test_training_that_raises_has_failed(stranger: Callable[..., Any]) -> None:
    def reward(completions: list[str], trainer_state: Any, **_: Any) -> list[float]:
        if trainer_state.global_step == 1:
            raise RuntimeError("no such word")
        return likes_a(completions)

    callback = AutotuneCallback("here")
    trainer = stranger(callback, reward=reward, max_steps=2)
    with pytest.raises(RuntimeError, match="no such word"):
        trainer.train()
    trainer.reward_funcs = [likes_a]
    trainer.train()
    ends = [event for event in events(Path("here")) if isinstance(event, RunEnded)]
    assert [(end.step, end.outcome) for end in ends] == [(1, Outcome.FAILED), (2, Outcome.FINISHED)]


SCRIPT = """
import sys
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from trainers.callback import AutotuneCallback

class Trouble(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 2:
            {trouble}

ids = [dict(input_ids=[3, 4, 5, 0], labels=[3, 4, 5, 0])] * 8
args = TrainingArguments(
    "out", max_steps=4, logging_steps=1, report_to="none", use_cpu=True, save_strategy="no", disable_tqdm={quiet}
)
Trainer(
    AutoModelForCausalLM.from_pretrained(sys.argv[1]), args, train_dataset=ids,
    callbacks=[AutotuneCallback("nowhere"), Trouble()],
).train()
"""


def script(model: Path, trouble: str, *, quiet: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(trouble=trouble, quiet=quiet), str(model)],
        env=os.environ | {"PYTHONPATH": str(HOME)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "outcome", "reason"),
    [
        ("raise ValueError('a word too many')", Outcome.FAILED, "ValueError: a word too many"),
        ("raise KeyboardInterrupt", Outcome.INTERRUPTED, "KeyboardInterrupt: "),
        ("sys.exit(3)", Outcome.FAILED, "training did not return"),
    ],
)
def test_a_script_that_dies_says_why(tiny_model: Path, trouble: str, outcome: Outcome, reason: str) -> None:
    done = script(tiny_model, trouble)
    assert done.returncode != 0
    assert [row.step for row in rows("nowhere")] == [1]
    assert events(Path("nowhere"))[-1] == RunEnded(2, outcome, reason)


@pytest.mark.slow
def test_the_trial_of_a_study_writes_where_the_study_reads(tiny_model: Path) -> None:
    done = script(tiny_model, "pass", quiet=False, AUTOTUNE_TRIAL_DIR="study/trials/7", AUTOTUNE_ATTEMPT="3")
    assert done.returncode == 0, done.stderr
    assert {e.attempt for e in envelopes(Path("study/trials/7"))} == {3}
    assert not Path("nowhere").exists()
    assert "4/4" in done.stderr  # the progress bar is there all the same


def test_wandb_gets_alerts_and_a_summary(
    stranger: Callable[..., Any], alarming: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb, alerts = pytest.importorskip("wandb"), []
    with wandb.init(mode="offline", dir=".", settings=wandb.Settings(silent=True)) as run:
        alert = run.alert

        def heard(title: str, text: str, **how: Any) -> None:
            alerts.append((title, text, how["level"]))
            alert(title, text, **how)  # which refuses what is no level or no duration

        monkeypatch.setattr(run, "alert", heard)
        stranger(AutotuneCallback("here"), report_to="wandb").train()
        summary = dict(run.summary)
    text = "ERROR TST001 second_step at step 2: it is the \x1b[31msecond step"
    assert alerts == [("ERROR TST001 second_step", text, "ERROR")]
    assert (summary["autotune/worst"], summary["autotune/findings"]) == ("error", 1)
    assert summary["autotune/TST001"] == text


def test_a_clean_run_is_called_clean_on_wandb(stranger: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr("diagnostics.catalogue.here", lambda *_: {})
    with wandb.init(mode="offline", dir=".", settings=wandb.Settings(silent=True)) as run:
        stranger(AutotuneCallback("here"), max_steps=1).train()
        assert (run.summary["autotune/worst"], run.summary["autotune/findings"]) == ("none", 0)


def test_a_full_disk_does_not_end_training(
    stranger: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    callback = AutotuneCallback("here")
    trainer = stranger(callback)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diagnostics.events.encode", full)
    trainer.train()
    assert trainer.state.global_step == 3
    assert [line for line in lines(capsys.readouterr().err) if "No space left" in line] == [
        "autotune: here cannot be written any more, the run is diagnosed all the same: "
        "[Errno 28] No space left on device"
    ]


def test_a_folder_that_cannot_be_is_one_clear_line(stranger: Callable[..., Any]) -> None:
    Path("file").write_text("")
    with pytest.raises(UserError, match=r"file/events.jsonl cannot be written: .* Give another directory."):
        stranger(AutotuneCallback("file")).train()


TOGETHER = """
import sys
from accelerate import PartialState
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from trainers.callback import AutotuneCallback

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
model.transformer.ln_f.weight.data.fill_(float("nan"))
args = TrainingArguments("out", max_steps=9, logging_steps=1, report_to="none", use_cpu=True, save_strategy="no")
ids = [dict(input_ids=[3, 4, 5, 0], labels=[3, 4, 5, 0])] * 64
trainer = Trainer(model, args, train_dataset=ids, callbacks=[AutotuneCallback("here", stop_on="warning")])
trainer.train()
print(f"process {PartialState().process_index} of {PartialState().num_processes}: {trainer.state.global_step} steps")
PartialState().wait_for_everyone()  # one that leaves while gloo's threads still talk may be aborted (exit code -6)
PartialState().destroy_process_group()
"""


@pytest.mark.slow
def test_several_processes_have_one_writer_and_stop_together(tiny_model: Path) -> None:
    Path("together.py").write_text(TOGETHER)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "together.py", str(tiny_model)],
        env=os.environ | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (end,) = (event for event in events(Path("here")) if isinstance(event, RunEnded))
    assert end.outcome is Outcome.STOPPED and end.step < 9
    assert {line for line in done.stdout.splitlines() if line.startswith("process")} == {
        f"process {i} of 2: {end.step} steps" for i in (0, 1)
    }
    assert done.stderr.count("events in here") == 1
    assert [e.seq for e in envelopes(Path("here"))] == list(range(len(envelopes(Path("here")))))


def test_rules_of_ones_own_judge_the_run_and_their_faults_are_told_once(
    stranger: Callable[..., Any], my_rules: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    path = my_rules(Path(), ("limit: float = 100.0", "limit: float = -5.0"))
    broken = my_rules(
        Path(),
        ("    yield", "    1 / 0\n    yield"),
        ("ACME", "ABC"),
        ("_too_", "_to_"),
        ("_of_", "_off_"),
        name="b.py",
    )
    Path("autotune.toml").write_text("[rules.ACME001]\nseverity = 'warning'\n")
    stranger(AutotuneCallback("here", rules=[path, broken]), max_steps=3).train()
    seen = events(Path("here"))
    raised = [e.finding for e in seen if isinstance(e, FindingRaised) and e.finding.code == "ACME001"]
    assert [(f.raised_at, f.severity) for f in raised] == [(1, Severity.WARNING)]
    faults = [line for line in lines(capsys.readouterr().err) if "ABC001" in line]
    assert len(faults) == 1
    assert faults[0].startswith("autotune: ABC001 at step 1: the rule of b.py failed: line ")
    start = next(event for event in seen if isinstance(event, RunStarted))
    assert "while it ran, rules from my_rules.py: ACME001, ACME002" in start.notes


def test_a_file_of_rules_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(UserError, match=r"gone\.py cannot be read"):
        AutotuneCallback(rules="gone.py")
