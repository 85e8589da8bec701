"""The runs that ours and other tools are asked of, and the form in which the others get them."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import labels
import planted
import table_planted
from labels import Label, Wanted

from diagnostics.series import RunHistory

PLANTED = "Planted faults"

# TRL's names for what a run has measured, of several the first that is there; where TRL has none, verl's. A name for
# one unit gets no other one: a summed KL is "objective/kl", as TRL's PPO logs it.
NAMES: Mapping[str, tuple[str, ...]] = {
    "reward": ("reward_mean", "reward_total", "success_share"),
    "reward_std": ("reward_std.group", "reward_std.batch", "reward_std"),
    "frac_reward_zero_std": ("zero_std_share",),
    "kl": (
        "kl.reference.k3.token", "kl.reference.unknown.token", "kl.reference.k1.token", "kl.reference.k2.token",
        "kl.reference.unknown",
    ),
    "objective/kl": ("kl.reference.k1.sequence", "kl.reference.unknown.sequence", "kl.reference.k3.sequence"),
    "policy/approxkl_avg": (
        "kl.rollout.k2.token", "kl.rollout.k3.token", "kl.rollout.k1.token", "kl.rollout.unknown.token",
        "kl.rollout.unknown", "kl.rollout.k3.action", "kl.rollout.k1.action",
    ),
    "entropy": ("entropy.token", "entropy", "entropy.action"),
    "clip_ratio/region_mean": ("clip_fraction.token", "clip_fraction", "clip_fraction.action"),
    "clip_ratio/low_mean": ("clip_fraction_low.token", "clip_fraction_low"),
    "clip_ratio/high_mean": ("clip_fraction_high.token", "clip_fraction_high"),
    "advantages_std": ("advantage_std",),
    "loss": ("total_loss",),
    "loss/policy_avg": ("policy_loss.token", "policy_loss"),
    "loss/value_avg": ("value_loss",),
    "critic/vf_explained_var": ("explained_variance",),
    "grad_norm": ("grad_norm",),
    "learning_rate": ("learning_rate",),
    "completions/mean_length": ("completion_length_mean",),
    "completions/max_length": ("completion_length_max",),
    "completions/clipped_ratio": ("truncated_share",),
    "eval_reward": ("validation_reward", "eval_reward", "eval_set_reward", "test_reward"),
}  # fmt: skip
SETTINGS = {
    "learning_rate": "learning_rate",
    "num_generations": "num_generations",
    "beta": "kl_coef",
    "epsilon": "clip_range",
    "epsilon_high": "clip_range_high",
    "max_completion_length": "max_completion_length",
    "max_steps": "max_steps",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A run and what is wrong with it; `twin` is the name of the same run without its planted fault."""

    name: str
    label: Label
    segments: tuple[RunHistory, ...]
    log: Path | None = None
    twin: str = ""


def recorded(corpus: str) -> list[Case]:
    """The labelled runs of a corpus."""
    logs: dict[str, Path] = {}
    if corpus == labels.SHARED:
        root = Path(os.environ["AUTOTUNE_CORPUS"])
        for data in json.loads((root / "labels.json").read_text(encoding="utf-8")):
            logs[data["id"]] = root / data.get("file", data["id"])
    return [Case(run.name, run.label, run.segments, logs.get(run.name)) for run in labels.runs(corpus)]


def planted_cases(runs: int) -> list[Case]:
    """Each fault in `runs` healthy runs, and these runs without it."""
    twins: dict[str, Case] = {}
    cases = []
    for fault in planted.FAULTS:
        grpo_and_ppo = table_planted.GRPO + table_planted.PPO
        kinds = table_planted.PPO if fault.ppo else grpo_and_ppo
        sources = [source for source in kinds if table_planted.can_have(fault, source)]
        for seed in range(runs):
            source = sources[seed % len(sources)]
            twin = healthy(source, seed)
            twins[twin.name] = twin
            sick = planted.plant(twin.segments[0], fault, table_planted.ONSET, table_planted.AT)
            label = Label((Wanted(fault.codes),), frozenset(), frozenset(), healthy=False)
            cases.append(Case(f"{fault.name}, {twin.name}", label, (sick,), twin=twin.name))
    return [*twins.values(), *cases]


def planted_at(case: Case) -> int:
    """The step at which the fault sets in."""
    return int(case.segments[0]["grad_norm"].steps[table_planted.ONSET])


@cache
def healthy(source: str, seed: int) -> Case:
    """A healthy run made from a recorded one."""
    run, maybe = table_planted.recorded(source)
    history = planted.healthy(run, table_planted.LENGTH, seed)
    return Case(f"{source} {seed}", Label((), maybe, None, healthy=True), (history,))


def rows(run: RunHistory) -> list[dict[str, float]]:
    """The rows of a log under TRL's names."""
    named = {
        name: run.series[metric]
        for name, metrics in NAMES.items()
        if (metric := next((m for m in metrics if m in run.series), None)) is not None
    }
    if "kl" in named:
        named.pop("objective/kl", None)
    for part, series in run.family("reward_component_mean").items():
        named[f"rewards/{part}/mean"] = series
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for name, series in named.items():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            found[step][name] = value
    return [{"step": step, **found[step]} for step in sorted(found)]


def settings(run: RunHistory) -> dict[str, Any]:
    """The run's settings under TRL's names."""
    known = {name: run.settings[setting] for name, setting in SETTINGS.items() if setting in run.settings}
    return known | {"algorithm": "ppo" if "value_loss" in run.series else "grpo"}
