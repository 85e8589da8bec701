"""What configurations mean in their framework, and what the rules say of them before a run."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from diagnostics.choice import choice
from diagnostics.configs.config import Config, Given, NoConfig
from diagnostics.configs.frameworks import all_frameworks
from diagnostics.configs.linting import Linted, lint
from diagnostics.configs.meaning import understand
from diagnostics.finding import Severity
from diagnostics.metrics import settings as canonical
from diagnostics.rule import Lint, all_lints
from diagnostics.vocabulary import FIRST, LAST, vocabulary


def config(given: Mapping[str, Any], framework: str = "", *, processes: int | None = None, **more: Any) -> Config:
    held = {name: Given(value, line) for line, (name, value) in enumerate(given.items(), 1)}
    launched = Given(processes) if processes is not None else None
    return Config("x.yaml", "YAML", held, framework, processes=launched, **more)


def said(linted: Linted, least: Severity = Severity.WARNING) -> list[str]:
    return sorted(one.finding.code for one in linted.findings if one.finding.severity >= least)


def messages(linted: Linted) -> str:
    return "\n".join(one.finding.message for one in linted.findings)


# ---- what it means


def test_settings_come_from_what_is_given_then_from_the_newest_defaults() -> None:
    meant = understand(config({"num_generations": 4, "loss_type": "grpo"}, "trl-grpo"))
    known = meant.settings
    assert (known["num_generations"].value, known["num_generations"].line, known["num_generations"].default) == (
        4,
        1,
        "",
    )
    assert (known["kl_coef"].value, known["kl_coef"].name, known["kl_coef"].default) == (
        0,
        "beta",
        "TRL's default since 0.19.0",
    )
    assert known["max_completion_length"].value == 512
    assert known["process_batch_size"].value == 8
    assert "batch_size" not in known  # nobody says how many processes there are
    assert meant.given == 2


def test_older_names_tell_older_defaults() -> None:
    meant = understand(config({"num_generations": 4, "scale_rewards": True, "wandb_log_unique_prompts": True}))
    assert meant.settings["max_completion_length"].value == 256
    old = understand(config({"n_samples_per_prompt": 4, "rollout_batch_size": 8}))
    assert (old.framework, old.settings["kl_coef"].name) == ("openrlhf", "init_kl_coef")
    new = understand(config({"rollout.n_samples_per_prompt": 4, "rollout.batch_size": 8}))
    assert (new.framework, new.settings["kl_coef"].name) == ("openrlhf", "algo.kl.init_coef")
    assert new.settings["batch_size"].value == 32


def test_what_is_given_and_not_known_is_at_no_default() -> None:
    given = {"beta": Given(None, 3, "it is $BETA"), "num_generations": Given(8, 4)}
    meant = understand(Config("x.sh", "a command", given, "trl-grpo"))
    assert "kl_coef" not in meant.settings
    assert list(meant.unknown) == ["beta"]


def test_nothing_is_at_its_default_where_more_may_be_given_or_all_was_dumped() -> None:
    assert (
        "kl_coef" not in understand(config({"num_generations": 8}, "trl-grpo", open=("line 1 takes in **x",))).settings
    )
    dump = {f"option_{i}": i for i in range(70)} | {"num_generations": 8, "loss_type": "grpo"}
    assert "kl_coef" not in understand(config(dump, "trl-grpo", document=True)).settings
    assert "kl_coef" in understand(config(dump, "trl-grpo")).settings


def test_names_of_several_frameworks_have_the_defaults_that_all_of_these_have() -> None:
    meant = understand(config({"num_generations": 8, "temperature": 0.9}))
    assert meant.settings["update_epochs"].default
    assert "kl_coef" not in meant.settings  # 0 of GRPO, 0.05 of RLOO
    assert meant.notes == ("the names fit trl-grpo and trl-rloo alike",)
    by_path = Config("recipes/rloo/a.yaml", "YAML", {"num_generations": Given(8)})
    assert understand(by_path).settings["kl_coef"].value == 0.05


@pytest.mark.parametrize(
    "given",
    [{}, {"learning_rate": 1e-5, "beta": 0.1}, {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 5}, {"on": "push"}],
)
def test_other_files_are_no_configuration(given: Mapping[str, Any]) -> None:
    """Of supervised training, of preferences, of sampling, of something else."""
    with pytest.raises(NoConfig):
        lint(config(given))


def test_a_value_that_cannot_be_and_a_name_that_is_nearly_one_are_told() -> None:
    notes = understand(config({"temperature": -1, "learnig_rate": 1e-6, "num_generations": 8}, "trl-grpo")).notes
    assert notes == (
        "learnig_rate in line 2 is no setting that is known here: is learning_rate meant?",
        "temperature in line 1 is left out: it should be a finite number from 0",
    )


@pytest.mark.parametrize("name", all_frameworks())
def test_defaults_are_of_names_that_mean_something(name: str) -> None:
    """Each default is accepted as the canonical setting that its name means, and versions do not overlap."""
    words = vocabulary(name)
    spans: dict[str, list[tuple[Any, Any]]] = {}
    for default in all_frameworks()[name].defaults:
        spans.setdefault(default.name, []).append((default.since, default.until))
        for entry in words.settings:
            if entry.name == default.name and not entry.where:
                value = entry.values.get(str(default.value), default.value)
                assert value == "" or canonical()[entry.means].accepts(value), default
    for ranges in spans.values():
        ordered = sorted(ranges)
        assert all(a[1] <= b[0] for a, b in pairwise(ordered))
        assert ordered[-1][1] in (LAST, (0, 10, 2))  # OpenRLHF's flags before they had parts


def test_defaults_are_of_the_newest_version_alone() -> None:
    assert {name for name in all_frameworks()["openrlhf"].default((FIRST, LAST)) if "." not in name} == set()
    assert all_frameworks()["trl-grpo"].default((FIRST, (0, 18)))["beta"].value == 0.04


# ---- what is said


def test_each_finding_has_its_line_and_what_it_rests_on() -> None:
    (finding,) = lint(
        config({"learning_rate": 1e-6, "temperature": 0.2, "beta": 0.04}, "trl-grpo", processes=1)
    ).findings
    assert (finding.finding.code, finding.line) == ("CFG007", 2)
    assert [(known.name, known.value) for known in finding.rests_on] == [("temperature", 0.2)]


def test_groups_and_processes() -> None:
    given = {"num_generations": 8, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "beta": 0.04}
    one = lint(config(given, "trl-grpo", processes=1))
    assert said(one) == ["CFG001"]
    assert (
        one.findings[0].rests_on[0].how == "per_device_train_batch_size 2 x gradient_accumulation_steps 2 x 1 process"
    )
    assert said(lint(config(given, "trl-grpo", processes=2))) == []
    unknown = lint(config(given, "trl-grpo"))
    assert said(unknown, Severity.INFO) == ["CFG017"]
    assert "a multiple of 2" in messages(unknown)


GRPO = {"num_generations": 8, "beta": 0.04, "per_device_train_batch_size": 8}


@pytest.mark.parametrize(
    ("given", "processes", "codes"),
    [
        ({"sync_ref_model": True}, 1, []),
        ({"sync_ref_model": True, "beta": 0.0}, 1, ["CFG011"]),
        ({"sync_ref_model": True, "use_peft": True}, 1, ["CFG011"]),
        ({"eval_strategy": "steps", "per_device_eval_batch_size": 4}, 1, ["CFG011"]),
        ({"eval_strategy": "steps", "per_device_eval_batch_size": 4}, 2, []),
        ({"eval_strategy": "steps", "per_device_eval_batch_size": 4}, None, []),  # with some processes it is right
        ({"generation_batch_size": 24}, 1, []),
        ({"generation_batch_size": 24}, 2, ["CFG011"]),
        ({"warmup_steps": 50, "max_steps": 50}, 1, ["CFG012"]),
        ({"warmup_steps": 49, "max_steps": 50}, 1, []),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, 1, ["CFG011"]),
        ({"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs.min_lr_rate": 0.1}, 1, []),
        ({"use_vllm": True, "vllm_max_model_length": 512}, 1, ["CFG016"]),
        ({"use_vllm": False, "vllm_max_model_length": 512}, 1, []),
    ],
)
def test_what_trl_has_against_settings(given: Mapping[str, Any], processes: int | None, codes: list[str]) -> None:
    assert said(lint(config({**GRPO, **given}, "trl-grpo", processes=processes))) == codes


def test_what_a_run_wrote_out_holds_what_it_made_of_its_settings() -> None:
    both = {**GRPO, "generation_batch_size": 8, "steps_per_generation": 1}
    assert said(lint(config(both, "trl-grpo", processes=1))) == ["CFG011"]
    dump = {f"option_{i}": i for i in range(70)} | both
    assert said(lint(config(dump, "trl-grpo", processes=1, document=True))) == []


@pytest.mark.parametrize(
    ("given", "processes", "advice"),
    [
        ({"num_generations": 12}, 4, "Set num_generations to 16, or gradient_accumulation_steps to 3, "),
        (
            {"num_generations": 12, "steps_per_generation": 2},
            1,
            "Set num_generations to 16, or steps_per_generation to 3, ",
        ),
        ({"num_generations": 12, "generation_batch_size": 64}, 4, "Set generation_batch_size to 96, "),
    ],
)
def test_what_makes_groups_whole_keeps_the_batch_whole(given: Mapping[str, Any], processes: int, advice: str) -> None:
    linted = lint(config({**GRPO, **given}, "trl-grpo", processes=processes))
    (one,) = (one.finding for one in linted.findings if one.finding.code == "CFG001")
    assert one.advice[0].startswith(advice)
    assert one.prescriptions == ()


def test_classic_ppo_splits_its_batch() -> None:
    given = {"batch_size": 100, "mini_batch_size": 8, "ppo_epochs": 4}
    assert said(lint(config(given, "trl-ppo-classic"))) == ["CFG011"]
    assert said(lint(config({**given, "batch_size": 104}, "trl-ppo-classic"))) == []


def test_verls_kl_is_that_of_the_penalty_that_is_on() -> None:
    reward = {
        **VERL,
        f"{ACTOR}.use_kl_loss": False,
        "algorithm.use_kl_in_reward": True,
        "algorithm.kl_ctrl.kl_coef": 0.6,
    }
    assert said(lint(config(reward))) == ["CFG005"]
    off = config({**VERL, f"{ACTOR}.use_kl_loss": False})
    assert understand(off).settings["kl_coef"].value == 0
    perhaps = {**off.given, "algorithm.use_kl_in_reward": Given(None, 9, "it is $KL")}
    assert "kl_coef" not in understand(Config("x.sh", "a command", perhaps)).settings


VERL = {
    "algorithm.adv_estimator": "grpo",
    "data.train_batch_size": 1024,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 256,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 16,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 16,
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": 16,
    "actor_rollout_ref.actor.use_kl_loss": True,
    "actor_rollout_ref.actor.kl_loss_coef": 0.001,
    "actor_rollout_ref.rollout.n": 5,
    "trainer.n_gpus_per_node": 8,
}
OPENRLHF = {
    "actor_num_gpus_per_node": 8,
    "micro_train_batch_size": 8,
    "train_batch_size": 128,
    "micro_rollout_batch_size": 16,
    "rollout_batch_size": 128,
    "n_samples_per_prompt": 8,
    "advantage_estimator": "group_norm",
    "use_kl_loss": True,
    "kl_estimator": "k3",
}
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
OUT = object()


def changed(given: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**given, **changes}.items() if value is not OUT}


@pytest.mark.parametrize("given", [VERL, OPENRLHF])
def test_usual_configurations_are_quiet(given: Mapping[str, Any]) -> None:
    linted = lint(config(given))
    assert said(linted, Severity.INFO) == []
    assert linted.unmapped == ()


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"data.train_batch_size": 128}, "CFG011", "data.train_batch_size 128 is below"),
        ({"data.train_batch_size": OUT, f"{ACTOR}.ppo_mini_batch_size": 2048}, "CFG011", "1024 is below"),
        ({"data.train_batch_size": 1000}, "CFG012", "does not divide"),
        ({"trainer.n_gpus_per_node": 3, f"{ACTOR}.ppo_micro_batch_size_per_gpu": 1}, "CFG011", "evenly by 3 GPUs"),
        ({f"{ACTOR}.ppo_micro_batch_size": 8}, "CFG011", "are both set"),
        ({f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu": OUT}, "CFG011", "neither"),
        ({"actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": OUT}, "CFG011", "neither"),
        ({"algorithm.adv_estimator": "gae"}, "CFG011", "neither critic.ppo_micro_batch_size_per_gpu"),
        ({f"{ACTOR}.ppo_micro_batch_size_per_gpu": 40, f"{ROLLOUT}.n": 8}, "CFG012", "no multiple of"),
        ({f"{ACTOR}.use_kl_loss": OUT}, "CFG012", "nothing reads it"),
        ({"algorithm.kl_ctrl.kl_coef": 0.01}, "CFG012", "the KL is in the reward only with algorithm.use_kl_in_reward"),
        ({"algorithm.use_kl_in_reward": True}, "CFG012", "counted twice"),
        ({f"{ACTOR}.kl_loss_type": "kl"}, "CFG012", "estimated by k1"),
        ({f"{ROLLOUT}.n": 1}, "CFG013", "each prompt has one completion"),
        ({f"{ROLLOUT}.max_model_len": 600}, "CFG016", "does not fit a context of 600"),
    ],
)
def test_what_verl_has_against_settings(changes: Mapping[str, Any], code: str, says: str) -> None:
    linted = lint(config(changed(VERL, changes)))
    assert said(linted) == [code], messages(linted)
    assert says in messages(linted)


@pytest.mark.parametrize(
    "changes",
    [
        {f"{ACTOR}.use_dynamic_bsz": True, "data.train_batch_size": 128, f"{ACTOR}.ppo_mini_batch_size": 64,
         f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu": OUT},
        {f"{ACTOR}.use_kl_loss": False},  # said, so meant
        {f"{ACTOR}.use_kl_loss": OUT, f"{ACTOR}.kl_loss_coef": 0.0},
        {"algorithm.use_kl_in_reward": False, "algorithm.kl_ctrl.kl_coef": 0.01},
        {"trainer.nnodes": 5},
        {"data.train_batch_size": 256},
    ],
)  # fmt: skip
def test_what_verl_has_nothing_against(changes: Mapping[str, Any]) -> None:
    assert said(lint(config(changed(VERL, changes)))) == []


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"train_batch_size": 2048}, "CFG012", "do not fill train_batch_size 2048"),
        ({"train_batch_size": 192}, "CFG012", "does not divide the 1024 completions"),
        ({"micro_rollout_batch_size": 256}, "CFG011", "4 micro-batches of a rollout"),
        ({"actor_num_nodes": 3, "rollout_batch_size": 1152}, "CFG011", "no multiple of micro_train_batch_size 8 x 24"),
        ({"kl_estimator": OUT}, "CFG012", "kl_estimator k1, OpenRLHF's default"),
        ({"n_samples_per_prompt": 1, "rollout_batch_size": 1024}, "CFG013", "each prompt has one completion"),
        ({"dynamic_filtering": True, "advantage_estimator": "reinforce", "n_samples_per_prompt": 1,
          "rollout_batch_size": 1024}, "CFG011", "groups of one"),
        ({"async_train": True, "vllm_enable_sleep": True, "colocate_all_models": True}, "CFG011", "engine that sleeps"),
    ],
)  # fmt: skip
def test_what_openrlhf_has_against_settings(changes: Mapping[str, Any], code: str, says: str) -> None:
    linted = lint(config(changed(OPENRLHF, changes)))
    assert said(linted) == [code], messages(linted)
    assert says in messages(linted)


@pytest.mark.parametrize("changes", [{"train_batch_size": 1024}, {"micro_rollout_batch_size": 128}])
def test_what_openrlhf_has_nothing_against(changes: Mapping[str, Any]) -> None:
    assert said(lint(config(changed(OPENRLHF, changes)))) == []


def test_a_file_that_a_command_line_completes_lacks_nothing() -> None:
    changes = {f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu": OUT}
    assert said(lint(config(changed(VERL, changes)))) == ["CFG011"]
    assert said(lint(config(changed(VERL, changes), document=True))) == []


def test_a_call_without_a_setting_that_is_seen_is_no_configuration() -> None:
    with pytest.raises(NoConfig, match="gives no setting that is understood"):
        lint(config({}, "trl-grpo", open=("line 1 takes in **settings",)))


def test_what_is_said_before_a_run_is_no_rule_that_is_left_out_of_one() -> None:
    assert choice([], ["CFG011"]) is None
    left = choice(["KL002"], ["CFG011"])
    assert left is not None
    assert not left.left_out & {"CFG011", "CFG012", "CFG017"}
    assert "CFG007" in left.left_out


def test_where_batches_are_cut_by_tokens_verl_does_not_ask_for_a_whole_mini_batch() -> None:
    changes = {f"{ACTOR}.use_dynamic_bsz": True, "data.train_batch_size": 128}
    assert said(lint(config(changed(VERL, changes)))) == ["CFG012"]


def test_what_a_framework_has_against_settings_is_not_claimed_of_one_whose_source_was_not_read() -> None:
    given = {"init_kl_coef": 0.1, "ppo_epochs": 2, "max_completion_length": 8}
    skips = {skip.code: skip.reason for skip in lint(config(given, "lab-ppo")).skips}
    assert skips["CFG011"] == skips["CFG012"] == "nobody has read what lab-ppo has against settings"


def test_a_lint_that_is_left_out_is_neither_told_nor_counted_as_checked() -> None:
    rules = {code: judge for code, judge in all_lints().items() if code != "CFG011"}
    given = {"fp16": True, "bf16": True, "num_generations": 8, "beta": 0.04}
    assert said(lint(config(given, "trl-grpo"))) == ["CFG011"]
    left = lint(config(given, "trl-grpo"), rules)
    assert said(left) == []
    assert left.rules == len(rules) == len([judge for judge in rules.values() if isinstance(judge, Lint)])
