"""A repair is named with the finding that it removed, and runs that differ in their seed alone differ in nothing."""

from __future__ import annotations

import numpy as np
import pytest
from table_compare import Twin, by_halves, coverage, pair_by_pair, parting_pairs, recorded, simulated, together, twins

from diagnostics.parting import ALPHA

TWINS = twins()


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.before} {twin.after}")
def test_a_comparison_names_the_setting_that_changed_and_the_finding_that_went(twin: Twin) -> None:
    told = together(twin)
    assert not told.lacking
    assert told.went is not False
    single = pair_by_pair(twin)
    assert not any(verdict.lacking for verdict in single)
    seen = [verdict.went for verdict in single if verdict.went is not None]
    assert sum(seen) >= 0.6 * len(seen)  # one of the three repaired by the KL coefficient alone is still sick


def test_repairs_are_seen_in_the_metrics() -> None:
    single = [verdict for twin in TWINS for verdict in pair_by_pair(twin)]
    assert sum(bool(verdict.apart) for verdict in single) >= 0.8 * len(single)
    assert sum(verdict.reward for verdict in single) >= 0.5 * len(single)


def test_no_metric_of_runs_that_differ_in_their_seed_parts() -> None:
    chosen_on, held_out = by_halves(recorded())
    for pairs in (parting_pairs(chosen_on), parting_pairs(held_out), parting_pairs(held_out, 2)):
        assert len(pairs) >= 80
        assert sum(bool(apart) for _, apart in pairs) <= ALPHA * len(pairs)


def test_what_is_said_of_a_difference_covers_what_seeds_do() -> None:
    _, held_out = by_halves(recorded())
    assert 0.93 <= coverage(held_out) <= 0.99  # 95 % is what it says


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_no_metric_of_simulated_runs_parts(correlation: float) -> None:
    random = np.random.default_rng(0)
    told = [bool(apart) for drift in (0.0, 1.0) for apart in _apart_of(correlation, drift, random)]
    assert sum(told) <= ALPHA * len(told)


def _apart_of(correlation: float, drift: float, random: np.random.Generator) -> list[tuple[str, ...]]:
    groups = {str(i): simulated(correlation, drift, random) for i in range(30)}
    return [apart for _, apart in parting_pairs(groups)]
