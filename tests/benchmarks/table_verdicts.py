"""Verdicts on what is known: python tests/benchmarks/table_verdicts.py

Repairs of pathologies made on purpose, three seeds a side (tests/data/repairs.toml), and one setting against itself on
other seeds (tests/data/seeds.json): how many of the repairs that work are confirmed, and how often nothing is.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from autotune.verdict import Run, judge
from diagnostics.finding import Direction, Hypothesis
from studies.record import Judgement, Verdict
from studies.spec import load

DATA = Path(__file__).parents[1] / "data"
BATCH = 128  # completions of a step of the built-in task
# What the metrics of repairs.json are called here. The prototype's PPO calls the k1 estimate "kl", TRL's GRPO k3.
NAMES = {
    "reward": "reward_mean",
    "eval_reward": "validation_reward",
    "entropy": "entropy.token",
    "kl_k3": "kl.reference.k3.token",
    "frac_reward_zero_std": "zero_std_share",
    "completions/clipped_ratio": "truncated_share",
    "policy/clipfrac": "clip_fraction.token",
    "clip_ratio/region_mean": "clip_fraction.token",
    "val/explained_variance": "explained_variance",
}
KL = {"ppo": "kl.reference.k1.token", "grpo": "kl.reference.k3.token"}


@dataclass(frozen=True, slots=True)
class Repair:
    """A pathology and its repair, what was said of it, whether it works, and the verdict."""

    name: str
    hypothesis: Hypothesis
    works: bool
    verdict: Verdict


def repairs() -> Iterator[Repair]:
    """Every pair of repairs.toml, judged without any recorded noise."""
    recorded = json.loads((DATA / "repairs.json").read_text(encoding="utf-8"))
    for name, pair in tomllib.loads((DATA / "repairs.toml").read_text(encoding="utf-8")).items():
        before, after = _runs(recorded[pair["before"]]), _runs(recorded[pair["after"]])
        objective = "validation_reward" if "validation_reward" in before[0].curves else "reward_mean"
        said = _hypothesis(pair, before[0])
        yield Repair(name, said, works(before, after, objective), judge(said, before, after, objective, {}))


def works(before: Sequence[Run], after: Sequence[Run], objective: str) -> bool:
    """Whether every seed of the repair did better than every sick one, and by two standard errors in the mean.

    Over all of the second half of what both sides were run for, which is five times what a verdict looks at.
    """
    cost = min(run.curves[objective][-1][0] for run in (*before, *after))
    x, y = (
        [fmean(v for c, v in run.curves[objective] if cost / 2 < c <= cost) for run in side] for side in (before, after)
    )
    error = (variance(x) / len(x) + variance(y) / len(y)) ** 0.5
    return min(y) > max(x) and fmean(y) - fmean(x) > 2 * error


def _hypothesis(pair: Mapping[str, Any], sick: Run) -> Hypothesis:
    by = pair.get("by", 0.5)
    half = [v for c, v in sick.curves.get(pair["metric"], ()) if c <= by * sick.budget]
    amount = pair["amount"] if "amount" in pair else pair["share"] * fmean(half[-10:])
    return Hypothesis(pair["metric"], Direction(pair["direction"]), amount, by, "")


def _runs(recorded: Mapping[str, Any]) -> list[Run]:
    names = NAMES | {"kl": KL[recorded["algorithm"]]}
    return [
        Run(
            {
                names[metric]: [(c, v) for c, v in zip(recorded["completions"], values, strict=True) if v is not None]
                for metric, values in run.items()
            },
            recorded["budget"],
        )
        for run in recorded["runs"]
    ]


def seeds(stopped: bool = False) -> dict[str, list[Run]]:
    """The runs of seeds.json by setting; where `stopped`, those with a fatal finding end where a study ends them."""
    recorded = json.loads((DATA / "seeds.json").read_text(encoding="utf-8"))
    return {name: [_seed(run, stopped) for run in runs] for name, runs in recorded.items()}


def _seed(run: Mapping[str, Any], stopped: bool) -> Run:
    end = run["stopped"] if stopped and run["stopped"] is not None else float("inf")
    curves = {m: [(s * BATCH, v) for s, v in points if s <= end] for m, points in run.items() if m != "stopped"}
    return Run(curves, 100 * BATCH)


OBJECTIVE = "validation_reward"
# What rules say of the built-in task: each at amount 0, so that nothing but the noise keeps it from being confirmed.
SAID = [
    Hypothesis(metric, direction, 0.0, by, "")
    for metric, by in (
        (OBJECTIVE, 1.0),
        ("reward_mean", 0.5),
        ("kl.reference.k3.token", 0.5),
        ("zero_std_share", 0.5),
        ("entropy.token", 0.5),
    )
    for direction in Direction
]


def against_itself(
    runs: Sequence[Run], a_side: tuple[int, int], said: Hypothesis, noise: Mapping[str, float], draws: int = 400
) -> Counter[Judgement]:
    """Verdicts where nothing was changed: `runs` split into as many seeds before and after, all ways or `draws`."""
    n, m = a_side
    splits = [
        (before, after)
        for before in combinations(range(len(runs)), n)
        for after in combinations(sorted(set(range(len(runs))) - set(before)), m)
    ]
    if len(splits) > draws:
        splits = random.Random(0).sample(splits, draws)
    return Counter(
        judge(said, [runs[i] for i in before], [runs[i] for i in after], OBJECTIVE, noise).judgement
        for before, after in splits
    )


def main() -> None:
    """Print the tables."""
    print("| repair | mechanism | works | verdict | why |\n|---|---|---|---|---|")
    found = list(repairs())
    for r in found:
        print(f"| {r.name} | {r.hypothesis.metric} {r.hypothesis.direction} | {'yes' if r.works else 'no'} "
              f"| {r.verdict.judgement} | {r.verdict.why} |")  # fmt: skip
    working = [r for r in found if r.works]
    confirmed = [r for r in working if r.verdict.judgement is Judgement.CONFIRMED]
    wrongly = [r for r in found if not r.works and r.verdict.judgement is Judgement.CONFIRMED]
    print(f"\nof {len(working)} repairs that work {len(confirmed)} are confirmed; of the {len(found) - len(working)} "
          f"others {len(wrongly)}\n")  # fmt: skip

    noise = load("arithmetic-grpo").noise
    print("| against itself | seeds a side | noise | confirmed | refuted | verdicts |\n|---|---|---|---:|---:|---:|")
    for recorded in ({}, noise):
        for a_side in ((1, 1), (2, 2), (3, 3), (1, 3)):
            if a_side == (1, 1) and not recorded:
                continue
            total: Counter[Judgement] = Counter()
            for name, runs in seeds().items():
                if len(runs) < 6:
                    continue
                counts = sum((against_itself(runs, a_side, said, recorded) for said in SAID), Counter[Judgement]())
                total += counts
                print(_row(name, a_side, recorded, counts))
            print(_row("all", a_side, recorded, total))


def _row(name: str, a_side: tuple[int, int], noise: Mapping[str, float], counts: Counter[Judgement]) -> str:
    n = counts.total()
    rates = " | ".join(f"{counts[j] / n:.1%}" for j in (Judgement.CONFIRMED, Judgement.REFUTED))
    return f"| {name} | {a_side[0]} and {a_side[1]} | {'recorded' if noise else 'none'} | {rates} | {n} |"


if __name__ == "__main__":
    main()
