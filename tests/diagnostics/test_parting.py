"""Two sides part where they do, and like runs do not: on made curves, whose differences are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from diagnostics.parting import ALPHA, SHARE, Parting, partings
from diagnostics.series import MetricSeries, Steps, Values

Run = dict[str, MetricSeries]


def steps_are_positions(steps: Steps) -> Values:
    return steps.astype(np.float64)


def run(*metrics: Sequence[float] | Values, every: int = 1, first: int = 1) -> Run:
    """A run that logs each of `metrics` every so many steps."""
    made = {}
    for name, values in zip("abcdefgh", metrics, strict=False):
        steps = first + every * np.arange(len(values))
        made[name] = MetricSeries(name, steps, np.asarray(values, dtype=np.float64))
    return made


def noise(seed: int, n: int = 100, correlation: float = 0.0) -> Values:
    values = np.random.default_rng(seed).standard_normal(n)
    for i in range(1, n):
        values[i] = correlation * values[i - 1] + math.sqrt(1 - correlation**2) * values[i]
    return values


def part(before: Sequence[Run], after: Sequence[Run]) -> list[Parting]:
    return partings(before, after, [steps_are_positions] * (len(before) + len(after)))


def of_one(before: Values, after: Values) -> Parting:
    (found,) = part([run(before)], [run(after)])
    return found


LEARNS = 1 - np.exp(-np.arange(100) / 25)


def test_noise_about_one_level_does_not_part():
    parting = of_one(noise(0), noise(1))
    assert parting.at is None and parting.until is None
    assert abs(parting.difference) < parting.error


def test_another_level_parts_from_the_first_step_on():
    parting = of_one(0.1 * noise(0), 1 + 0.1 * noise(1))
    assert (parting.at, parting.until) == (1.0, None)
    assert parting.difference == pytest.approx(1.0, abs=0.1)
    assert parting.error < 0.25


@pytest.mark.parametrize("since", [20, 50, 70])
def test_the_first_step_is_where_the_curves_leave_each_other(since):
    jump = np.where(np.arange(1, 101) >= since, 1.0, 0.0)
    parting = of_one(0.05 * noise(0), jump + 0.05 * noise(1))
    assert parting.at == pytest.approx(since, abs=3)  # a quarter of a stretch of 12


def test_what_comes_together_again_says_until_when():
    """Both learn the same, the one before eight times faster."""
    fast, slow = (1 - np.exp(-np.arange(100) / pace) for pace in (3, 24))
    parting = of_one(fast + 0.02 * noise(0), slow + 0.02 * noise(1))
    assert parting.at is not None and parting.at <= 6
    assert parting.until is not None and 15 <= parting.until <= 50
    assert parting.difference < -0.3  # where they lay apart last, not at the end


def test_a_jump_of_one_stretch_is_a_spike_and_not_a_parting():
    spike = np.where((np.arange(100) >= 40) & (np.arange(100) < 50), 1.0, 0.0)
    assert of_one(0.05 * noise(0), spike + 0.05 * noise(1)).at is None


def test_a_seed_may_move_a_run_by_a_share_of_what_it_travelled():
    assert of_one(LEARNS + 0.01 * noise(0), (1 - 0.9 * SHARE) * LEARNS + 0.01 * noise(1)).at is None
    assert of_one(LEARNS + 0.01 * noise(0), (1 - 1.4 * SHARE) * LEARNS + 0.01 * noise(1)).at is not None


def test_seeds_that_agree_show_what_one_run_a_side_cannot():
    better = [run(LEARNS + 0.01 * noise(seed)) for seed in range(6)]
    worse = [run(0.8 * LEARNS + 0.01 * noise(seed)) for seed in range(6, 12)]
    (single,), (several,) = part(better[:1], worse[:1]), part(better, worse)
    assert single.at is None and several.at is not None
    assert several.error < single.error


def test_seeds_that_disagree_take_back_what_one_run_a_side_would_say():
    strong, weak = run(LEARNS + 0.01 * noise(0)), run(0.3 * LEARNS + 0.01 * noise(1))
    assert part([strong], [weak])[0].at is not None
    assert part([strong, weak], [weak, strong])[0].at is None
    assert part([strong, weak, weak], [weak, weak, weak])[0].at is None


def test_autocorrelated_noise_is_no_difference():
    pairs = [part([run(noise(2 * i, correlation=0.9))], [run(noise(2 * i + 1, correlation=0.9))]) for i in range(200)]
    assert sum(parting.at is not None for (parting,) in pairs) <= 2 * ALPHA * 200


def test_noise_that_outlasts_a_stretch_is_no_difference():
    """Of 100 points a twentieth of a value is new in each."""
    told = 0
    for trial in range(60):
        before, after = (
            run(*(noise(1000 * trial + 10 * side + m, correlation=0.95) for m in range(8))) for side in (0, 1)
        )
        told += any(parting.at is not None for parting in part([before], [after]))
    assert told <= 2 * ALPHA * 60


def test_what_happens_now_and_then_is_no_level():
    """A share that is 0 but for three steps: most of its stretches have no noise at all."""
    seldom = np.zeros(100)
    seldom[[20, 30, 40]] = 1.0
    assert of_one(seldom, np.zeros(100)).at is None


def test_what_was_covered_within_the_first_stretch_counts():
    """Both leave 0 at once, as a KL does, for levels that lie apart by less than a seed may move them."""
    levels = [np.concatenate([[0.0], level + 0.01 * noise(seed, 99)]) for seed, level in enumerate((1.0, 1.3))]
    assert of_one(*levels).at is None
    assert of_one(*(level[1:] for level in levels)).at == 1.0


def test_many_metrics_are_not_many_chances():
    told = 0
    for trial in range(60):
        before, after = (run(*(LEARNS + noise(1000 * trial + 10 * side + m) for m in range(8))) for side in (0, 1))
        told += any(parting.at is not None for parting in part([before], [after]))
    assert told <= 2 * ALPHA * 60


def test_of_many_metrics_a_small_difference_of_one_does_not_count():
    """Its chance alone is below 5 in 100, and not below an eighth of that."""
    alone, other = noise(0), noise(1) + 1.7
    (single,) = part([run(alone)], [run(other)])
    rest = [[noise(10 * side + m) for m in range(1, 8)] for side in (1, 2)]
    among = {p.metric: p for p in part([run(alone, *rest[0])], [run(other, *rest[1])])}
    assert ALPHA / 8 < single.chance <= ALPHA and single.at is not None
    assert among["a"].at is None


def test_runs_are_compared_where_both_have_points():
    """Logged at other steps, and one of them only half as long."""
    jump = np.where(np.arange(100) >= 30, 1.0, 0.0)
    before, after = run(0.05 * noise(0, 50), every=1), run((jump + 0.05 * noise(1))[::2], every=2)
    (parting,) = part([before], [after])
    assert parting.at == pytest.approx(31, abs=4)
    assert parting.until is None and parting.after == pytest.approx(1.0, abs=0.2)


def test_too_few_points_in_common_are_not_compared():
    assert part([run(noise(0, 5))], [run(noise(1, 100))]) == []
    assert part([run(noise(0, 20), first=1)], [run(noise(1, 20), first=50)]) == []


def test_numbers_that_do_not_change_part_only_if_they_are_others():
    assert of_one(np.full(50, 6.0), np.full(50, 6.0)).at is None
    assert of_one(np.full(50, 6.0), np.full(50, 5.0)).at == 1.0


def test_what_is_not_finite_is_left_out():
    broken = 0.05 * noise(0)
    broken[60:] = np.nan
    broken[10] = np.inf
    broken[11] = 1e200
    parting = of_one(broken, 1 + 0.05 * noise(1))
    assert parting.at == 1.0 and math.isfinite(parting.difference) and math.isfinite(parting.error)
    assert part([run(np.full(50, np.nan))], [run(noise(1, 50))]) == []


def test_positions_put_steps_on_one_axis():
    """The run after takes four steps where the one before takes one."""
    jump = np.where(np.arange(200) >= 120, 1.0, 0.0)
    before, after = run(0.05 * noise(0, 50)), run(jump + 0.05 * noise(1, 200))
    (parting,) = partings([before], [after], [lambda steps: 4.0 * steps, steps_are_positions])
    assert parting.at == pytest.approx(121, abs=8)
