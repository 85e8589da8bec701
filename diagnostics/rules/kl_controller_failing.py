"""KL003: the controller of the KL coefficient does not hold the KL at its target."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.kl import ALL, COEFFICIENT, OF_SOMETHING, PER_TOKEN, SUMMED
from diagnostics.remedies import FAR, setting, slower, tighter
from diagnostics.rule import Alarm, Case, NotApplicable, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import lagged, rolling_mean, share, sustained

K1_SUM, K3 = "kl.reference.k1.sequence", "kl.reference.k3.token"

# A target is one of the KL that is penalised: in most controllers a sum over the completion.
OBSERVED = (*SUMMED, OF_SOMETHING, *PER_TOKEN)
WINDOW = 10  # points of one level: k1 is noisy
MOST = 0.8  # share of a window's points that must be away from the target
MOVED = 2.0  # times itself that a coefficient must have grown to have answered at all
TARGET_SUM = 6.0  # where no target is known, but the coefficient rises: that of Ziegler and TRL

ADAPTIVE = "kl_controller_adaptive"
TARGET = {"kl_controller_target": 6.0}
RISES = {COEFFICIENT: "0.2+0.0001*80"}


@rule(
    "KL003",
    Severity.WARNING,
    needs=[ALL, COEFFICIENT],
    warmup=1,
    lookback=80,
    min_points=WINDOW,
    fires=[
        Case(example({K1_SUM: "6 10 13.5~0.1*78"} | RISES, settings=TARGET), "warning@38"),
        Case(example({K1_SUM: "25-0.15*80"} | RISES, settings=TARGET), "warning@38"),  # falls too slowly to get there
        Case(
            example({K1_SUM: "40*80", COEFFICIENT: "0.2*80"}, settings=TARGET | {ADAPTIVE: True}), "warning@38"
        ),  # at its bound
        Case(example({K3: "1.3*80"} | RISES), "warning@38"),  # no target is known, and the coefficient rises
        Case(example({K1_SUM: "2.7~0.01*80", COEFFICIENT: "0.2-0.0025*80"}, settings=TARGET), "info@73"),
    ],
    quiet=[
        example({K1_SUM: "3.3~0.01*80", COEFFICIENT: "0.2-0.0025*80"}, settings=TARGET),  # near its target
        example({K1_SUM: "6 10 11.5~0.1*78"} | RISES, settings=TARGET),  # not far from its target
        example({K1_SUM: "13.5~0.1*31 6.2~0.1*49"} | RISES, settings=TARGET),  # the controller got it back
        example({K1_SUM: "25-0.2*80"} | RISES, settings=TARGET),  # and here it is about to
        example({K1_SUM: "40*80", COEFFICIENT: "0.2*80"}, settings=TARGET),  # nobody says that it is to adapt
        example({K1_SUM: "0.1~0.01*80", COEFFICIENT: "0.2-0.0021*80"}, settings=TARGET),  # the penalty is still there
        example({K1_SUM: "40*80"} | RISES, settings={ADAPTIVE: False}),  # somebody's schedule
    ],
)
def kl_controller_failing(
    run: RunHistory,
    *,
    over: float = 2.0,
    under: float = 0.5,
    answer: float = 0.2,
    gone: float = 0.1,
    patience: int = 30,
) -> Iterator[Alarm]:
    """An adaptive KL coefficient does not bring the KL to the target that it is there to hold.

    ## Meaning
    The coefficient adapts: the settings say so, or it is higher than it was. WARNING: in 8 of the last 10 points
    the KL was above `over` times its target, for `patience` points, and fell by less than a share of `answer` over
    them. INFO: it was below `under` times its target for as long, and the coefficient has fallen to a share of `gone`
    of the first one: there is no penalty left, and none is needed. Where no target is known it is taken as 6 nats for a
    sum and 0.5 per token.

    ## Why it matters
    The error of the controller is clipped, so far from the target it corrects by the same small share at each step. A
    coefficient that grows by a tenth of a percent a step needs thousands of steps to matter, and the policy needs ten.
    A controller in this state looks like a safeguard and is none.

    ## Look at
    The coefficient beside the KL: whether it moved at all, and how much it would have to. The horizon in units of what
    the controller counts (samples, not steps). Whether the KL that is logged is in the unit of the target.

    ## What to change
    Where the coefficient has hardly moved: four times the coefficient to begin with, or a horizon as much shorter as it
    was too slow. Where it has grown and the KL does not answer: an eighth of the learning rate.

    ## When this is wrong
    A target for the KL per token beside a logged sum, or the other way round. A run whose reward pays for the
    distance: then the target is too tight, not the controller too weak.

    ## References
    - Ziegler et al. 2019, Fine-tuning language models from human preferences (arXiv 1909.08593): the controller, whose
      error KL / target - 1 is clipped to 0.2 on both sides; TRL's target is 6 for a sum, its horizon 10,000 samples.
    - `over` = 2.0, `under` = 0.5: house defaults, five and two and a half times where the error is clipped.
    - `answer` = 0.2: house default; at that pace a KL of twice its target is back in a hundred points.
    - `gone` = 0.1: house default. `patience` = 30: house default, as for kl_explosion.
    """
    target, coefficient = setting(run, "kl_controller_target"), run.get(COEFFICIENT)
    series = next((run[metric] for metric in OBSERVED if run.points(metric)), run.get(OF_SOMETHING))
    if run.settings.get(ADAPTIVE) is False:
        raise NotApplicable("the KL coefficient is not adapted")
    if not len(coefficient) or not len(series):
        return
    aim = target or (FAR if series.metric in PER_TOKEN else TARGET_SUM)
    level, weight = rolling_mean(series.values, WINDOW), coefficient.at(series.steps)
    before = lagged(weight, patience - 1)
    adapts = (run.settings.get(ADAPTIVE) is True) | (weight > before)
    if not adapts.any() and not target:
        return
    above = sustained(share(series.values > over * aim, WINDOW) >= MOST, patience)
    stays = level > (1 - answer) * lagged(level, patience - 1)
    told = partial(_told, run, series, level, weight, aim, patience)
    yield Alarm(Severity.WARNING, series.steps, adapts & above & stays, partial(told, over * aim))
    if target and coefficient.values[0] > 0:
        below = sustained(share(series.values < under * aim, WINDOW) >= MOST, patience)
        nothing = below & (weight <= gone * coefficient.values[0])
        yield Alarm(Severity.INFO, series.steps, nothing, partial(told, under * aim))


def _told(
    run: RunHistory,
    series: MetricSeries,
    level: Values,
    weight: Values,
    aim: float,
    patience: int,
    limit: float,
    i: int,
) -> Told:
    first, last = int(series.steps[i - patience + 1]), int(series.steps[i])
    known = "its target" if setting(run, "kl_controller_target") else "a usual target"
    now, old, new = float(level[i]), float(weight[i - patience + 1]), float(weight[i])
    message = (
        f"{series.metric} is {now:.3g} at step {last} and {known} {aim:g}; "
        f"from step {first} on the KL coefficient went from {old:.3g} to {new:.3g}"
    )
    evidence = (Evidence(series.metric, first, last, "mean of the last 10 points", now, limit),)
    if now < aim:
        advice = (
            "Nothing holds this policy back, and nothing has to. For a policy nearer the reference lower the target."
        )
        return Told(message, first, evidence, advice=(advice,))
    because = "smaller updates move the policy no faster than the controller can answer"
    remedies = [slower(series.metric, Direction.DOWN, (now - aim) / 2, because)]
    advice = "Compare the unit of the target with that of the logged KL: per token, or summed over a completion."
    if not new >= MOVED * old:
        remedies.insert(0, tighter(run, series.metric, (now - aim) / 2))
        advice = (
            f"Shorten the controller's horizon: in {patience} points it has hardly changed the coefficient. {advice}"
        )
    return Told(message, first, evidence, tuple(remedies), Confidence.HIGH if known else Confidence.MEDIUM, (advice,))
