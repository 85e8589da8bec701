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
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from autotune.verdict import Run, judge, level
from diagnostics.finding import Direction, Hypothesis
from studies.record import Judgement, Verdict
from studies.spec import load

DATA = Path(__file__).parents[1] / "data"
# The built-in task as the preset runs it: steps, completions of a step; and from how many seeds a noise is taken.
STEPS, BATCH, MANY = 100, 128, 6
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


OBJECTIVE = "validation_reward"
DEADLINES = {
    OBJECTIVE: 1.0,
    "reward_mean": 0.5,
    "kl.reference.k3.token": 0.5,
    "zero_std_share": 0.5,
    "entropy.token": 0.5,
}
# What rules say, each at amount 0, so that nothing but the noise keeps it from being confirmed.
SAID = [Hypothesis(metric, direction, 0.0, by, "") for metric, by in DEADLINES.items() for direction in Direction]


@dataclass(frozen=True, slots=True)
class Change:
    """A step from one setting of seeds.json to another, and what the rule that calls for it says."""

    before: str
    after: str
    said: Hypothesis


CHANGES = [
    Change("collapse", "fast", Hypothesis("kl.reference.k3.token", Direction.DOWN, 1.2, 0.5, "KL002, half of it")),
    Change("asleep", "slow", Hypothesis("reward_mean", Direction.UP, 0.24, 0.5, "RWD004, 15 % of what is left")),
    Change("slow", "good", Hypothesis("reward_mean", Direction.UP, 0.2, 0.5, "RWD004, 15 % of what is left")),
    Change("pinned", "good", Hypothesis("reward_mean", Direction.UP, 0.2, 0.5, "RWD004, 15 % of what is left")),
    Change("cold", "good", Hypothesis("zero_std_share", Direction.DOWN, 0.2, 0.5, "RWD001, a third of it")),
]


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


# ---- the built-in task on many seeds


def seeds(stopped: bool = False) -> dict[str, list[Run]]:
    """The runs of seeds.json by setting; where `stopped`, those with a fatal finding end where a study ends them."""
    recorded = json.loads((DATA / "seeds.json").read_text(encoding="utf-8"))
    return {name: [_seed(run, stopped) for run in runs] for name, runs in recorded.items()}


def _seed(run: Mapping[str, Any], stopped: bool) -> Run:
    end = run["stopped"] if stopped and run["stopped"] is not None else STEPS
    curves = {}
    for metric, values in run.items():
        if metric != "stopped":
            every = STEPS // (len(values) - 1)  # an evaluation before the first step and then at every tenth
            steps = range(0, STEPS + 1, every) if every > 1 else range(1, STEPS + 1)
            curves[metric] = [(float(s * BATCH), v) for s, v in zip(steps, values, strict=True) if s <= end]
    return Run(curves, float(STEPS * BATCH))


def noise_of(settings: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """The standard deviation between seeds by metric: root mean square over the settings run on `MANY` seeds or more.

    At half the budget and at its end, where verdicts look.
    """
    return {
        metric: fmean(
            variance([level(run.curves[metric], share * run.budget, run.budget) for run in runs])
            for runs in settings.values()
            for share in (0.5, 1.0)
            if len(runs) >= MANY
        )
        ** 0.5
        for metric in next(iter(settings.values()))[0].curves
    }


def against_itself(
    runs: Sequence[Run], sides: tuple[int, int], noise: Mapping[str, float], draws: int = 100
) -> Counter[Judgement]:
    """Verdicts of all of `SAID` where nothing was changed: `runs` split by seeds, all ways or `draws` of them."""
    everyone = frozenset(range(len(runs)))
    splits = [(b, a) for b in combinations(everyone, sides[0]) for a in combinations(everyone - set(b), sides[1])]
    if len(splits) > draws:
        splits = random.Random(0).sample(splits, draws)
    return Counter(
        judge(said, [runs[i] for i in before], [runs[i] for i in after], OBJECTIVE, noise).judgement
        for before, after in splits
        for said in SAID
    )


def changed(
    change: Change, settings: Mapping[str, Sequence[Run]], sides: int, noise: Mapping[str, float], draws: int = 60
) -> Counter[Judgement]:
    """Verdicts on one change of the built-in task, `sides` seeds before against as many after, all ways or `draws`."""
    before, after = (combinations(settings[name], sides) for name in (change.before, change.after))
    pairs = list(product(before, after))
    pairs = random.Random(0).sample(pairs, min(draws, len(pairs)))
    return Counter(judge(change.said, b, a, OBJECTIVE, noise).judgement for b, a in pairs)


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

    settings = seeds(stopped=True)
    noise = load("arithmetic-grpo").noise
    print("| change | seeds a side | noise | confirmed | refuted | verdicts |\n|---|---|---|---:|---:|---:|")
    for change in CHANGES:
        for sides, known in ((1, noise), (3, {}), (3, noise)):
            print(
                _row(
                    f"{change.before} to {change.after}", (sides, sides), known, changed(change, settings, sides, known)
                )
            )
    print("\nWhere noise is recorded it is here that of the other settings, so that none is judged by its own.\n")
    print("| against itself | seeds a side | noise | confirmed | refuted | verdicts |\n|---|---|---|---:|---:|---:|")
    whole = {name: runs for name, runs in seeds().items() if len(runs) >= MANY}
    for sides in ((1, 1), (2, 2), (3, 3), (1, 3)):
        for recorded in (False, True):
            total: Counter[Judgement] = Counter()
            for name, runs in whole.items():
                others = noise_of({n: r for n, r in whole.items() if n != name}) if recorded else {}
                counts = against_itself(runs, sides, others)
                total += counts
                print(_row(name, sides, others, counts))
            print(_row("all", sides, others, total))
    print("\n[noise]")
    for metric, deviation in noise_of(whole).items():
        print(f"{json.dumps(metric) if '.' in metric else metric} = {deviation:.2g}")


def _row(name: str, sides: tuple[int, int], noise: Mapping[str, float], counts: Counter[Judgement]) -> str:
    n = counts.total()
    rates = " | ".join(f"{counts[j] / n:.1%}" for j in (Judgement.CONFIRMED, Judgement.REFUTED))
    return f"| {name} | {sides[0]} and {sides[1]} | {'recorded' if noise else 'none'} | {rates} | {n} |"


if __name__ == "__main__":
    main()
