"""Which knobs mattered: an answer where there is one, and none where there is not."""

import optuna
import pytest

from autotune.importance import TRIALS, importance


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study(trials: int, *, prune_below: float = -1.0, direction: str = "maximize") -> optuna.Study:
    """One knob decides, one does nothing."""

    def objective(trial: optuna.Trial) -> float:
        reward = trial.suggest_float("learning_rate", 0, 1)
        trial.suggest_float("kl_coef", 0, 1)
        trial.suggest_categorical("num_generations", [2, 4, 8])
        trial.report(reward, 1)
        if reward < prune_below:
            raise optuna.TrialPruned
        return reward

    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction=direction)
    made.optimize(objective, n_trials=trials)
    return made


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_knob_that_decides_comes_first(direction: str) -> None:
    shares = importance(study(30, direction=direction))
    assert shares is not None
    assert next(iter(shares)) == "learning_rate" and shares["learning_rate"] > 0.5
    assert set(shares) == {"learning_rate", "kl_coef", "num_generations"}
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_trials_say_nothing() -> None:
    assert importance(study(TRIALS - 1)) is None
    assert importance(study(TRIALS)) is not None


def test_pruned_trials_count_with_what_they_reported_last() -> None:
    made = study(TRIALS, prune_below=0.5)
    assert sum(t.state == optuna.trial.TrialState.PRUNED for t in made.trials) > 3
    assert importance(made) == importance(study(TRIALS))


def test_trials_without_a_value_or_all_with_the_same_say_nothing() -> None:
    made = optuna.create_study()
    for state in (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED):
        for _ in range(TRIALS):
            trial = made.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
            made.tell(trial, state=state)
    assert importance(made) is None
    made = optuna.create_study()
    made.optimize(lambda t: 0.0 * t.suggest_float("x", 0, 1), n_trials=TRIALS)
    assert importance(made) is None


def test_nothing_is_said_of_the_study_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    made = study(TRIALS)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    importance(made)
    optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert not caplog.records
