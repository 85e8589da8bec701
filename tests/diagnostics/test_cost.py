"""What steps cost: from the times of a log, from the phases that it tells, and from neither."""

import math
from pathlib import Path

import pytest

from diagnostics.axes import Clock, clock
from diagnostics.cost import cost
from diagnostics.plot import Curve, curve


def flat(value: float, steps: int = 20) -> Curve:
    return curve([(step, value) for step in range(1, steps + 1)])


def regular(seconds: float, steps: int = 20) -> Clock:
    made = clock(range(1, steps + 1), [100 + seconds * step for step in range(steps)])
    assert made is not None
    return made


def test_the_pace_is_of_the_last_steps_and_of_the_usual_one() -> None:
    times = [0.0]
    for step in range(40):
        times.append(times[-1] + (9.0 if step == 10 else 2.0 if step >= 30 else 1.0))
    known = cost({}, clock(range(41), times)).pace
    assert known is not None
    assert known.usual == 1.0
    assert known.now == 2.0
    assert (known.slowest, known.slowest_at, known.slow, known.steps) == (9.0, 11, 1, 40)


def test_steps_that_are_logged_now_and_then_share_their_time() -> None:
    known = cost({}, clock((0, 10, 20), (0.0, 5.0, 15.0))).pace
    assert known is not None
    assert (known.now, known.slowest) == (0.75, 1.0)


def test_without_times_the_seconds_of_steps_tell_the_pace() -> None:
    known = cost({"step_seconds": flat(0.25)}, None)
    assert known.pace is not None
    assert known.pace.usual == 0.25
    assert cost({"step_seconds": curve([(1, math.nan), (2, 0.0), (3, -1.0)])}, None).pace is None


def test_the_phases_add_up_to_the_step() -> None:
    curves = {"generation_seconds": flat(0.6), "update_seconds": flat(0.2), "step_seconds": flat(1.0)}
    found = cost(curves, regular(1.0))
    assert [(phase.name, round(phase.share, 6)) for phase in found.phases] == [
        ("generation", 0.6),
        ("update", 0.2),
        ("other", 0.2),
    ]
    assert found.waits == ("all else waits for generation: 60% of a step",)
    assert "what a step's time goes into: no scoring_seconds, reward_seconds" in found.missing


def test_phases_that_say_more_than_the_step_are_the_step() -> None:
    found = cost({"generation_seconds": flat(3.0), "update_seconds": flat(1.0)}, regular(2.0))
    assert [round(phase.share, 6) for phase in found.phases] == [0.75, 0.25, 0.0]


def test_a_slow_reward_and_an_idle_gpu_are_said() -> None:
    curves = {"reward_seconds": flat(0.4), "generation_seconds": flat(0.3), "gpu_utilization": flat(0.2)}
    found = cost(curves, regular(1.0))
    told = " ".join(found.waits)
    assert "waits for the reward for 40% of a step" in told
    assert "30% of a step is none of these" in told
    assert "at most 20% of the time" in told
    (gauge,) = found.gauges
    assert (gauge.metric, gauge.unit, gauge.now) == ("gpu_utilization", "share of time", 0.2)


def test_completions_and_tokens_are_those_of_a_second() -> None:
    made = curve([(step, 64.0 * step) for step in range(1, 21)])
    found = cost({"completions_generated": made, "completion_length_mean": flat(10.0)}, regular(0.5))
    assert found.completions == pytest.approx(128.0)
    assert found.tokens == pytest.approx(1280.0)
    by_steps = cost({"completions_generated": made, "step_seconds": flat(0.5)}, None)
    assert by_steps.completions == pytest.approx(128.0)
    assert by_steps.tokens is None


def test_a_log_that_tells_nothing_says_what_is_missing() -> None:
    found = cost({}, None)
    assert (found.pace, found.phases, found.gauges, found.completions, found.waits) == (None, (), (), None, ())
    told = " ".join(found.missing)
    for missing in ("the time of a step", "generation_seconds", "completions_generated", "gpu_utilization"):
        assert missing in told
    assert cost({"generation_seconds": curve([(1, math.inf)])}, regular(1.0)).phases == ()


def test_all_that_is_looked_for_is_a_canonical_metric() -> None:
    from diagnostics.cost import COMPLETIONS, GAUGES, LENGTH, PHASES, STEP
    from diagnostics.metrics import Group, metrics

    known = metrics()
    assert {STEP, COMPLETIONS, LENGTH, *GAUGES, *PHASES.values()} <= known.keys()
    assert all(known[metric].group is Group.COST for metric in (STEP, COMPLETIONS, *GAUGES, *PHASES.values()))


def test_a_run_of_ours_tells_its_phases(tmp_path: Path) -> None:
    from studies.trial_log import TrialLog

    log = TrialLog(Path(__file__).parent.parent / "data" / "runs" / "good-0", "validation_reward")
    log.poll()
    curves = {metric: curve(points) for metric, points in log.curves.items()}
    found = cost(curves, clock(*zip(*log.times, strict=True)))
    log.close()
    assert found.pace is not None
    assert sum(phase.share for phase in found.phases) == pytest.approx(1.0)
    assert found.completions is not None
    assert found.completions > 100
