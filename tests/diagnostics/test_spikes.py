"""What stands out of a metric's own recent life, computed by hand."""

import numpy as np
import pytest

from diagnostics.engine import rises
from diagnostics.rule import all_rules
from diagnostics.series import example
from diagnostics.spikes import crowded, in_a_row, spikes, told_of_spike
from diagnostics.stats import running_median


def found(notation: str, **limits: float) -> list[int]:
    limits = {"times": 3.0, "deviations": 8.0} | limits
    return np.flatnonzero(spikes(example({"m": notation})["m"], **limits).found).tolist()


def test_a_spike_is_far_above_what_was_usual_before_it():
    # usually 2, and no deviations: 6 is three times as much
    seen = spikes(example({"m": "2*30 6 2*10"})["m"], times=3, deviations=8)
    assert seen.usual[30] == 2
    assert seen.usual[31] == 2
    assert np.flatnonzero(seen.found).tolist() == [30]
    assert found("2*30 5.9 2*10") == []
    assert found("2*30 7 2*10", floor=6.9) == [30]
    assert found("2*30 7 2*10", floor=7) == []


def test_the_point_itself_is_not_part_of_what_was_usual():
    series = example({"m": "1~1*80"})["m"]
    usual = spikes(series, times=3, deviations=8).usual
    np.testing.assert_array_equal(usual[1:], running_median(np.abs(series.values))[:-1])
    assert spikes(example({"m": "1*13 9*14"})["m"], times=3, deviations=8).usual[:14].tolist()[1:] == [1] * 13
    assert found("1 1 1 1 1 1 1 1 1 1 5 5") == [10, 11]


def test_scatter_is_measured_before_the_point():
    # usually 1 without deviations; then 12 and 14 with deviations of 2 and 4, which 8 of them add to
    assert found("1*27 1 2 1 2 1 2 9 1*5") == [33]
    assert found("10 12 14 " * 20 + "38") == [60]
    assert found("10 14 18 " * 20 + "45") == []
    assert found("5 2 1 4 5 3 1 1 2 4 2 37") == [11]  # deviations of 3 before it, of 4 with it


def test_the_first_ten_points_are_a_beginning():
    assert found("1*9 50 1*20") == []
    assert found("1*10 50 1*20") == [10]


def test_the_sign_does_not_matter_and_nothing_stands_out_of_zero():
    assert found("-1 1 " * 15 + "-9 1 -1") == [30]
    assert found("-2*30 -9 -2*5") == [30]
    assert found("0*30 9 0*5") == []


def test_a_spike_is_the_last_of_those_within_thirty_points():
    series = example({"m": "1*30 9 1*29 9 1 9"})["m"]
    seen = spikes(series, times=3.0, deviations=8.0)
    told = [told_of_spike(series, seen, i, 3.0) for i in (30, 60, 62)]
    assert [t.first_step for t in told] == [30, 60, 60]
    assert told[2].message.endswith("the last of 2 spikes since step 60")


def test_what_is_not_finite_breaks_nothing():
    assert found("1*20 nan*3 1*10 inf 1*5 9 1*3") == [39]
    assert found("nan*40") == []
    assert found("") == []


@pytest.mark.parametrize(("gap", "together"), [(15, True), (29, True), (30, False)])
def test_three_within_thirty_points_are_crowded(gap, together):
    mask = np.zeros(80, dtype=bool)
    mask[[20, 30, 20 + gap]] = True
    expected = [20 + gap] if together else []
    assert np.flatnonzero(crowded(mask)).tolist() == expected  # the third one, and no calm point after it


def rows(notation: str, at: list[int], beyond: float = 2.0) -> list[int]:
    """Which of the points `at` are the last of a row."""
    size = example({"m": notation})["m"].values
    mask = np.zeros(len(size), dtype=bool)
    mask[at] = True
    return np.flatnonzero(in_a_row(size, mask, beyond)).tolist()


def test_a_row_is_of_spikes_beyond_what_the_noise_of_the_run_reaches():
    # of the 33 points before the last 30 the highest was exceeded by chance
    assert rows("1*20 3 1*39 6 7 8", [60, 61, 62]) == [62]
    assert rows("1*20 3 1*39 5.9 7 8", [60, 61, 62]) == []  # the third largest counts
    assert rows("1*20 3 1*39 6 7 8", [60, 61, 62], beyond=2.01) == []
    assert rows("1*20 3 1*39 6 7 8", [60, 61]) == []


def test_the_noise_of_a_run_is_what_one_in_fifty_of_its_points_exceeds():
    tail = "1*40 6 7 8"
    assert rows(f"1*100 90 80 70 3 1*80 {tail}", [224, 225, 226]) == [226]  # 197 points before: the fourth highest
    assert rows(f"1*100 90 80 70 3.1 1*80 {tail}", [224, 225, 226]) == []
    assert rows(f"1*10 90 80 3 1*30 {tail}", [83, 84, 85]) == []  # 56 points before: the second highest
    assert rows(f"1*10 90 3 1*31 {tail}", [83, 84, 85]) == [85]
    assert rows(f"90*20 1*220 {tail}", [280, 281, 282]) == [282]  # more than two hundred points ago


def test_seven_spikes_are_no_chance_where_they_were_rare():
    spikes_of_4 = "4 1 " * 7  # the points before reach 4 too: that they are larger is no reason
    assert rows("1*50 4*5 1*45 " + spikes_of_4, [*range(100, 114, 2)]) == [112]
    assert rows("1*50 4*5 1*45 " + spikes_of_4, [*range(100, 112, 2)]) == []  # six
    # 7 of 30 is more than three times 7 of 96 points before, and less than three times 8 of 97
    more = [*range(113, 127, 2)]
    assert 125 in rows("1*50 4*7 1*56 " + spikes_of_4, [*range(50, 57), *more])
    assert 125 not in rows("1*50 4*8 1*55 " + spikes_of_4, [*range(50, 58), *more])


def test_no_row_is_told_before_twenty_points_tell_what_is_usual():
    assert rows("1*46 6 7 8", [46, 47, 48]) == []
    assert rows("1*47 6 7 8", [47, 48, 49]) == [49]
    assert rows("nan*9 1*47 6 7 8", [56, 57, 58]) == [58]
    assert rows("nan*10 1*46 6 7 8", [56, 57, 58]) == []


# ---- harm after a spike of the gradient


def severities(reward: str, grad: str = "1~0.1*44 9 1~0.1*30") -> list[str]:
    rule = all_rules()["GRD001"]
    return [f.severity.name for f in rises(rule, example({"grad_norm": grad, "reward_mean": reward}))]


def test_a_reward_that_stood_still_is_measured_by_its_early_noise():
    assert severities("0.5~0.05*30 0.9*15 0.88*30") == ["INFO"]
    assert severities("0.5~0.05*30 0.9*15 0.6*30") == ["INFO", "WARNING"]


def test_no_harm_is_seen_before_the_noise_of_the_reward_is_known():
    early = "1~0.1*10 9 1~0.1*50"
    assert severities("_*5 0.5~0.01*6 0.1~0.01*50", early) == ["INFO"]  # 16 points of it at step 20
    assert severities("0.5~0.01*11 0.1~0.01*50", early) == ["INFO", "WARNING"]
    assert severities("_*60 0.5*3", early) == ["INFO"]


# ---- what the rewards explain


def diverged(loss: str, reward: str) -> list[int]:
    rule = all_rules()["VAL003"]
    return [f.raised_at for f in rises(rule, example({"value_loss": loss, "reward_mean": reward}))][:1]


def test_rewards_of_the_last_fifty_points_explain_a_value_loss():
    # rewards of 4 explain 160: once they are 50 points past, those of 1 explain 10
    assert diverged("0.2*40 50*80", "1*30 4 1*90") == [80]
    assert diverged("0.2*40 50*80", "1*10 4 1*110") == []  # the first twenty are not forgotten


def test_a_loss_below_zero_is_no_start_to_compare_with():
    assert diverged("-0.5 0.2*20 20*30", "1*51") == [25]
    assert diverged("-0.5 3*20 20*30", "1*51") == []
    assert diverged("-0.5*10 20*30", "1*40") == []
