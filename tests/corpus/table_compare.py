"""What `autotune compare` says of repairs, and of seeds: python tests/corpus/table_compare.py [--more FOLDER]

Twins are a recorded pathology and its repair (tests/data/repairs.toml), three seeds a side: are the settings that
differ named, is a finding gone that an expert saw, and which metrics part, of all seeds and of each pair by itself?

Pairs of seeds are runs of equal settings, of which nothing should part. `parting.SHARE` was chosen on the first half of
them. `--more` takes folders of further runs, which are grouped by their settings. Simulated runs are learning curves
under autocorrelated noise, of which nothing differs.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from labels import DATA, PATHOLOGIES, Label, runs

from diagnostics.comparison import SEED, Comparison, compare
from diagnostics.differences import Fate, Judged
from diagnostics.engine import diagnose
from diagnostics.logs import read
from diagnostics.readers.table import flat
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.sources import find
from diagnostics.vocabulary import LAST, vocabulary

NEWEST = tuple(part - 1 for part in LAST)
NOT_JUDGED = diagnose(RunHistory({}))
WENT = {True: "gone", False: "NOT", None: "unseen"}
Group = Sequence[RunHistory]


# ---- twins


@dataclass(frozen=True, slots=True)
class Twin:
    """A scenario of tests/data/pathologies and its repair, and the settings in which their configurations differ."""

    before: str
    after: str
    changed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was told of a twin: settings that it lacks, whether a finding went that was seen, the metrics that part.

    `went` is None where no expert saw anything in the runs before.
    """

    lacking: frozenset[str]
    went: bool | None
    apart: tuple[str, ...]
    reward: bool


def twins() -> list[Twin]:
    """All of repairs.toml."""
    scenarios = {path.name.partition("_")[2]: path.name for path in (DATA / "pathologies").iterdir() if path.is_dir()}
    pairs = [
        (scenarios[twin["before"]], scenarios[twin["after"]])
        for twin in tomllib.loads((DATA / "repairs.toml").read_text(encoding="utf-8")).values()
    ]
    return [Twin(before, after, _changed(before, after)) for before, after in pairs]


def _changed(before: str, after: str) -> frozenset[str]:
    one, other = _config(before), _config(after)
    return frozenset(name for name in {*one, *other} if one.get(name) != other.get(name))


@cache
def _config(scenario: str) -> Mapping[str, Any]:
    """The settings of a scenario as its trainer called them."""
    config = json.loads((DATA / "pathologies" / scenario / "config.json").read_text(encoding="utf-8"))
    prompts = {"n_prompts": config["n_prompts"]} if "n_prompts" in config else {}
    return {**dict(flat(config["cfg"])), **prompts}


@cache
def seeds_of(scenario: str) -> tuple[tuple[Judged, Label], ...]:
    """The runs of a scenario, with the settings that lie beside their logs, each with what an expert saw."""
    found = []
    for run in runs(PATHOLOGIES):
        if run.name.startswith(f"{scenario}/"):
            raw = _config(scenario)
            known = vocabulary(run.segments[0].framework).canonical_settings(raw, NEWEST)
            history = replace(run.segments[0], settings=known, raw_settings=raw)
            found.append((Judged(history, diagnose(history)), run.label))
    return tuple(found)


def together(twin: Twin) -> Verdict:
    """All seeds of a side against all of the other."""
    before, after = seeds_of(twin.before), seeds_of(twin.after)
    return _verdict(twin, compare([j for j, _ in before], [j for j, _ in after]), [label for _, label in before])


def pair_by_pair(twin: Twin) -> list[Verdict]:
    """Each run of a side against each of the other."""
    pairs = product(seeds_of(twin.before), seeds_of(twin.after))
    return [_verdict(twin, compare([before], [after]), [label]) for (before, label), (after, _) in pairs]


def _verdict(twin: Twin, comparison: Comparison, labels: Sequence[Label]) -> Verdict:
    named = {
        name
        for change in (*comparison.changed, *comparison.one_sided, *comparison.others)
        for name in (change.name, *change.spoken)
    }
    seen = {code for label in labels for wanted in label.present for code in wanted.codes}
    reward = comparison.reward()
    return Verdict(
        frozenset(twin.changed - named),
        any(finding.code in seen for finding in comparison.of_fate(Fate.GONE)) if seen else None,
        tuple(parting.metric for parting in comparison.apart()),
        reward is not None and reward.at is not None,
    )


# ---- pairs of seeds


def recorded() -> dict[str, Group]:
    """Runs of equal settings and other seeds in tests/data, by what they are called."""
    groups: dict[str, list[RunHistory]] = defaultdict(list)
    for run in runs(PATHOLOGIES):
        groups[run.name.partition("/")[0]].append(run.segments[0])
    for name in ("good", "collapse", "query-good", "query-collapse"):
        groups[name] = [read(find(DATA / "runs" / f"{name}-{seed}").sources[0])[0] for seed in (0, 1)]
    for name, seeds in json.loads((DATA / "seeds.json").read_text(encoding="utf-8")).items():
        groups[f"seeds.json: {name}"] = [_from_points(run) for run in seeds]
    return dict(groups)


def _from_points(points: Mapping[str, Any]) -> RunHistory:
    """A run of seeds.json, whose metrics are logged at equal distances to step 100."""
    series = {}
    for metric, values in points.items():
        if metric != "stopped":
            steps = np.arange(0, 101, 10) if metric == "validation_reward" else np.arange(1, 101)
            series[metric] = MetricSeries(metric, steps, np.array(values))
    return RunHistory(series)


def further(folders: Sequence[Path]) -> dict[str, Group]:
    """Runs in `folders` of equal settings, each with another seed."""
    groups: dict[str, dict[Any, RunHistory]] = defaultdict(dict)
    for folder in folders:
        for source in find(folder).sources:
            run = read(source)[-1]
            settings = {name: value for name, value in run.settings.items() if name != SEED}
            key = f"{folder}: {sorted(settings.items(), key=repr)}"
            groups[key].setdefault(run.settings.get(SEED), run)
    return {key: list(seeds.values()) for key, seeds in groups.items() if len(seeds) > 1}


def by_halves(groups: Mapping[str, Group]) -> tuple[dict[str, Group], dict[str, Group]]:
    """Every second group: those that `SHARE` was chosen on, and those held out."""
    names = sorted(groups)
    return {n: groups[n] for n in names[::2]}, {n: groups[n] for n in names[1::2]}


def parting_pairs(groups: Mapping[str, Group], size: int = 1) -> list[tuple[str, tuple[str, ...]]]:
    """For each pair of sides of `size` seeds: the group, and the metrics that part, of which none should."""
    return [(name, _apart(before, after)) for name, group in groups.items() for before, after in _sides(group, size)]


def _sides(group: Group, size: int) -> Iterator[tuple[Group, Group]]:
    """All ways to put `size` runs on either side, each once."""
    for before in combinations(range(len(group)), size):
        for after in combinations(range(before[0] + 1, len(group)), size):
            if not set(before) & set(after):
                yield [group[i] for i in before], [group[i] for i in after]


def coverage(groups: Mapping[str, Group], size: int = 1) -> float:
    """The share of metrics, over all pairs of sides of `size` seeds, whose difference is within what is said of it."""
    compared = [_compared(*sides) for group in groups.values() for sides in _sides(group, size)]
    return float(np.mean([abs(p.difference) <= p.error for comparison in compared for p in comparison.partings]))


def _apart(before: Group, after: Group) -> tuple[str, ...]:
    return tuple(parting.metric for parting in _compared(before, after).apart())


def _compared(before: Group, after: Group) -> Comparison:
    return compare(*([Judged(run, NOT_JUDGED) for run in side] for side in (before, after)))


def simulated(correlation: float, drift: float, random: np.random.Generator, metrics: int = 20) -> Group:
    """Two runs of the same learning curves, which rise by up to `drift`, under AR(1) noise of a tenth of that."""
    rises = [1 - np.exp(-np.linspace(0, random.uniform(0.5, 8), 100)) for _ in range(metrics)]
    means = [drift * random.uniform(-1, 1) * rise for rise in rises]
    return [_run([mean + 0.1 * _noise(correlation, random) for mean in means]) for _ in range(2)]


def _run(metrics: Sequence[np.ndarray]) -> RunHistory:
    """A run of 100 steps with metrics of any name."""
    series = [MetricSeries(f"reward_component_mean[{i}]", np.arange(100), values) for i, values in enumerate(metrics)]
    return RunHistory({one.metric: one for one in series})


def _noise(correlation: float, random: np.random.Generator) -> np.ndarray:
    noise = random.standard_normal(100)
    for i in range(1, 100):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return noise


# ---- the table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="folders of further runs of ours")
    arguments = parser.parse_args()
    print("Twins: settings named, finding gone, metrics that part; of all seeds | of single pairs\n")
    for twin in twins():
        all_seeds, pairs = together(twin), pair_by_pair(twin)
        seen = [verdict.went for verdict in pairs if verdict.went is not None]
        print(
            f"{twin.before:24} {twin.after:28} {'all' if not all_seeds.lacking else sorted(all_seeds.lacking)!s:4} "
            f"{WENT[all_seeds.went]:7} {len(all_seeds.apart):3} {'reward' if all_seeds.reward else '':7}"
            f"| {sum(not v.lacking for v in pairs)}/{len(pairs)} {sum(seen)}/{len(seen)} "
            f"any parts in {sum(bool(v.apart) for v in pairs)}/{len(pairs)}, reward in {sum(v.reward for v in pairs)}"
        )
    chosen_on, held_out = by_halves(recorded())
    print("\nPairs of seeds in which any metric parts\n")
    for title, groups in (("chosen on", chosen_on), ("held out", held_out), ("further", further(arguments.more))):
        for size in (1, 2, 3):
            told = parting_pairs(groups, size)
            if told:
                wrong = [(name, apart) for name, apart in told if apart]
                print(f"{title}, {size} a side: {len(wrong)} of {len(told)} ({len(wrong) / len(told):.1%})")
                print(f"    differences within their ±: {coverage(groups, size):.1%}")
                for name in dict.fromkeys(name for name, _ in wrong):
                    print(f"    {name[:60]}: {sum(n == name for n, _ in wrong)} of {sum(n == name for n, _ in told)}")
    print("\nSimulated pairs of 20 metrics and 100 steps in which any parts\n")
    random = np.random.default_rng(0)
    for correlation, drift in product((0.0, 0.5, 0.8, 0.9, 0.95), (0.0, 1.0)):
        told = [bool(_apart(*([run] for run in simulated(correlation, drift, random)))) for _ in range(200)]
        print(f"AR({correlation:g}), curves that rise by up to {drift:g}: {np.mean(told):.1%}")


if __name__ == "__main__":
    main()
