"""Which knobs mattered in a study."""

from __future__ import annotations

import math

from studies.record import State, StudyRecord

# From so many trials on the knob that mattered most is named rightly 28 times of 30, with five knobs and one that
# matters (random and TPE trials of a made-up task like ours, noise a fifth of what the knob does); from 8, 23 times.
TRIALS = 12
# The better half of the trials is held against all; Optuna's default, the best tenth, is one trial of a small study
# and was right 18 times of 30.
BETTER = 0.5


def importance(study: StudyRecord) -> dict[str, float] | None:
    """How much each knob decides whether a trial is among the better half: shares that sum to 1, the largest first.

    PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) as Optuna computes it, which needs no package of
    its own. A pruned trial counts with the last value that it logged: the runs that collapsed say most of a knob. None
    where fewer than `TRIALS` trials have a value, or where they all have the same. Reads the record alone: the storage
    may be far away, or gone.
    """
    known = [
        (t.value, t.proposal.knobs)
        for t in study.trials
        if t.state in (State.COMPLETE, State.PRUNED) and t.value is not None and math.isfinite(t.value)
    ]
    if len(known) < TRIALS or len({value for value, _ in known}) == 1:
        return None
    from optuna import create_study, logging
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    from autotune.ledger import distribution

    distributions = {knob: distribution(place) for knob, place in study.spec.space.items()}
    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)  # nobody asked for a study in memory, so nobody is told of it
    try:
        copy = create_study(direction="maximize")
    finally:
        logging.set_verbosity(level)
    copy.add_trials(create_trial(value=v, params=dict(knobs), distributions=distributions) for v, knobs in known)
    return get_param_importances(copy, evaluator=PedAnovaImportanceEvaluator(target_quantile=BETTER))
