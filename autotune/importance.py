"""Which knobs mattered in a study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

# From so many trials on the knob that mattered most is named rightly 28 times of 30, with five knobs and one that
# matters (random and TPE trials of a made-up task like ours, noise a fifth of what the knob does); from 8, 23 times.
TRIALS = 12
# The better half of the trials is held against all; Optuna's default, the best tenth, is one trial of a small study
# and was right 18 times of 30.
BETTER = 0.5


def importance(study: optuna.Study) -> dict[str, float] | None:
    """How much each knob decides whether a trial is among the better half: shares that sum to 1, the largest first.

    PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) as Optuna computes it, which needs no package of
    its own. A pruned trial counts with the last value that it reported: the runs that collapsed say most of a knob.
    None where fewer than `TRIALS` trials have a value, or where they all have the same.
    """
    from optuna import create_study, logging
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState, create_trial

    known = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        last = (
            trial.value if trial.state == TrialState.COMPLETE else trial.intermediate_values.get(trial.last_step or 0)
        )
        if trial.params and last is not None and math.isfinite(last):
            known.append((last, trial))
    if len(known) < TRIALS or len({value for value, _ in known}) == 1:
        return None
    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)  # nobody asked for a study in memory, so nobody is told of it
    try:
        copy = create_study(direction=study.direction)
    finally:
        logging.set_verbosity(level)
    copy.add_trials(create_trial(value=v, params=t.params, distributions=t.distributions) for v, t in known)
    return get_param_importances(copy, evaluator=PedAnovaImportanceEvaluator(target_quantile=BETTER))
