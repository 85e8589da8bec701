from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.prescribe import SAME, out_of_reach, prescribe, settled, unrepaired
from diagnostics.finding import (
    Add,
    Change,
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Safety,
    Scale,
    Set,
    Severity,
)
from studies.record import Judgement, Origin, Proposal, State, StudyRecord, TrialRecord, Verdict
from studies.space import Choices, Range
from studies.spec import load
from studies.trial import Knob
from studies.trial_log import Evaluation

SPACE = {
    "learning_rate": Range(1e-6, 1e-2, log=True),
    "update_epochs": Range(1, 4, integer=True),
    "num_generations": Choices((2, 4, 8, 16, 32)),
}
START: dict[str, Knob] = {"learning_rate": 1e-3, "update_epochs": 1, "num_generations": 8}


def finding(code: str, severity: Severity, knob: str, change: Change, safety: Safety = Safety.UNSAFE) -> Finding:
    hypothesis = Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, f"{code} says so")
    evidence = Evidence("reward_mean", 0, 9, "mean", 0.0, 1.0)
    return Finding(
        code, code.lower(), severity, Confidence.HIGH, 0, 9, 9, f"{code} message", (evidence,),
        (Prescription(knob, change, hypothesis, safety),),
    )  # fmt: skip


def trial(
    number: int, value: float | None, *findings: Finding, state: State = State.COMPLETE, **knobs: Knob
) -> TrialRecord:
    evaluations = (Evaluation(0, 0, -0.3), Evaluation(100, 12800, value)) if value is not None else ()
    proposal = Proposal({**START, **knobs}, Origin.START, "")
    return TrialRecord(number, 1, number, proposal, state, "", evaluations, findings)


def collapse(number: int, rate: float) -> TrialRecord:
    fatal = finding("KL002", Severity.FATAL, "learning_rate", Scale(1 / 8))
    return trial(number, -0.8, fatal, state=State.PRUNED, learning_rate=rate)


def asleep(number: int, rate: float, value: float = -0.3) -> TrialRecord:
    warning = finding("RWD004", Severity.WARNING, "learning_rate", Scale(10))
    return trial(number, value, warning, learning_rate=rate)


def test_a_collapse_asks_for_less() -> None:
    proposal = prescribe([collapse(0, 3e-3)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.knobs == {**START, "learning_rate": pytest.approx(3.75e-4)}
    assert (proposal.origin, proposal.parent, proposal.code, proposal.knob) == (
        Origin.FINDING, 0, "KL002", "learning_rate",
    )  # fmt: skip
    assert proposal.hypothesis is not None
    assert proposal.hypothesis.because == "KL002 says so"
    assert "KL002 message" in proposal.why


def test_of_equally_grave_findings_that_agree_the_one_that_asks_for_most_is_followed() -> None:
    """Half of it was enough for the clipping, which was seen first; the KL exploded all the same."""
    clipped = finding("UPD002", Severity.ERROR, "learning_rate", Scale(0.5))
    exploded = finding("KL002", Severity.ERROR, "learning_rate", Scale(1 / 8))
    asks_for_more = finding("RWD002", Severity.WARNING, "learning_rate", Scale(1 / 100))
    proposal = prescribe(
        [trial(0, 0.0, clipped, exploded, asks_for_more, learning_rate=8e-3)], SPACE, "validation_reward"
    )
    assert proposal is not None
    assert proposal.knobs["learning_rate"] == pytest.approx(1e-3)
    assert proposal.code == "KL002" and "KL002 message" in proposal.why


def test_no_learning_asks_for_more_again_and_again() -> None:
    rates = [1e-6]
    trials: list[TrialRecord] = []
    for number in range(3):
        trials.append(asleep(number, rates[-1]))
        proposal = prescribe(trials, SPACE, "validation_reward")
        assert proposal is not None
        rates.append(float(proposal.knobs["learning_rate"]))
    assert rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3])


def test_opposite_findings_bracket_a_knob() -> None:
    """Collapse at 1e-3, nothing learned at 1e-5 (ten times more would be 1e-4 as well): the geometric middle."""
    proposal = prescribe([collapse(0, 1e-3), asleep(1, 1e-4)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.knobs["learning_rate"] == pytest.approx((1e-3 * 1e-4) ** 0.5)
    assert proposal.origin is Origin.BRACKET
    assert "0.001 was wrong the other way (KL002 in trial 0)" in proposal.why


def test_a_closed_bracket_asks_for_nothing_more() -> None:
    """Too high at 1.2e-4, too low at 1e-4: nothing lies between, and below was ruled out."""
    assert prescribe([collapse(0, 1.2e-4), asleep(1, 1e-4)], SPACE, "validation_reward") is None


def test_what_was_tried_is_not_tried_again() -> None:
    trials = [collapse(0, 3e-3), trial(1, 0.4, learning_rate=3.75e-4)]
    proposal = prescribe(trials, SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.knobs["learning_rate"] not in (pytest.approx(3.75e-4), pytest.approx(3e-3))


def test_a_healthy_best_is_searched_around_on_the_knob_that_was_spoken_of() -> None:
    trials = [collapse(0, 3e-3), trial(1, 0.4, learning_rate=3.75e-4)]
    tried = []
    for number in range(2, 6):
        proposal = prescribe(trials, SPACE, "validation_reward")
        if proposal is None:
            break
        assert proposal.origin is Origin.BRACKET
        tried.append(float(proposal.knobs["learning_rate"]))
        trials.append(trial(number, 0.1, learning_rate=tried[-1]))
    # one step below, where nothing was tried, and the middle towards the collapse; then both neighbours are near
    assert sorted(tried) == pytest.approx([3.75e-4 / 10**0.5, (3.75e-4 * 3e-3) ** 0.5])


def test_the_worst_finding_of_the_best_trial_speaks_first() -> None:
    mild = finding("RWD001", Severity.WARNING, "num_generations", Scale(2))
    grave = finding("UPD002", Severity.WARNING, "update_epochs", Scale(0.5))
    best = trial(0, 0.5, mild, update_epochs=4)
    worse = trial(1, 0.1, grave, update_epochs=4, learning_rate=1e-5)
    proposal = prescribe([best, worse], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.knobs == {**START, "update_epochs": 4, "num_generations": 16}


def test_what_was_seen_comes_before_what_settings_let_suspect() -> None:
    suspected = replace(finding("CFG005", Severity.WARNING, "update_epochs", Set(2)), raised_at=0)
    seen = replace(finding("KL002", Severity.WARNING, "learning_rate", Scale(1 / 8)), confidence=Confidence.LOW)
    proposal = prescribe([trial(0, 0.3, suspected, seen)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.code == "KL002"
    grave = replace(suspected, severity=Severity.ERROR)
    proposal = prescribe([trial(0, 0.3, grave, seen)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.code == "CFG005"


def test_an_unusual_setting_is_made_usual_where_nothing_graver_speaks() -> None:
    unusual = finding("CFG010", Severity.INFO, "update_epochs", Set(1))
    noted = finding("VAL001", Severity.INFO, "num_generations", Scale(2))  # seen, and no reason to change anything
    proposal = prescribe([trial(0, 0.3, noted, unusual, update_epochs=4)], SPACE, "validation_reward")
    assert proposal is not None
    assert (proposal.code, proposal.knobs["update_epochs"]) == ("CFG010", 1)
    proposal = prescribe([trial(0, 0.3, unusual, update_epochs=4), asleep(1, 1e-6, 0.4)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.code == "RWD004"


def test_proposals_stay_inside_the_space() -> None:
    proposal = prescribe([asleep(0, 5e-3)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.knobs["learning_rate"] == 1e-2
    assert prescribe([asleep(0, 1e-2)], SPACE, "validation_reward") is None


@pytest.mark.parametrize(
    "quiet",
    [
        trial(0, 0.2),
        trial(0, 0.2, finding("RWD005", Severity.INFO, "learning_rate", Scale(2))),
        trial(0, 0.2, finding("LEN001", Severity.WARNING, "learning_rate", Scale(2), Safety.ADVICE)),
        trial(0, 0.2, finding("LEN001", Severity.WARNING, "max_completion_length", Scale(2))),
        trial(0, 0.2, finding("RWD001", Severity.WARNING, "num_generations", Set(8))),
        trial(0, None, finding("KL002", Severity.FATAL, "learning_rate", Scale(0.1)), state=State.FAILED),
    ],
    ids=["healthy", "info", "advice", "not of the space", "already so", "failed"],
)
def test_what_calls_for_nothing(quiet: TrialRecord) -> None:
    assert prescribe([quiet], SPACE, "validation_reward") is None


RATES = st.floats(1e-6, 1e-2)
CHANGES = st.sampled_from([Scale(1 / 8), Scale(10), Scale(2), Scale(0.5), Set(1e-4)])


@given(
    st.lists(
        st.tuples(
            RATES, st.integers(1, 4), st.sampled_from([2, 4, 8, 16, 32]), CHANGES, st.floats(-1, 1), st.booleans()
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_proposal_is_inside_the_space_and_new(rows: list[tuple[float, int, int, Change, float, bool]]) -> None:
    trials = [
        trial(
            number,
            value,
            finding("KL002", Severity.FATAL if pruned else Severity.WARNING, "learning_rate", change),
            state=State.PRUNED if pruned else State.COMPLETE,
            learning_rate=rate,
            update_epochs=epochs,
            num_generations=group,
        )
        for number, (rate, epochs, group, change, value, pruned) in enumerate(rows)
    ]
    proposal = prescribe(trials, SPACE, "validation_reward")
    assert proposal == prescribe(trials, SPACE, "validation_reward")
    if proposal is not None:
        assert all(value in SPACE[knob] for knob, value in proposal.knobs.items())
        assert all(_apart(proposal.knobs, t.proposal.knobs) for t in trials)


def _apart(one: Mapping[str, Knob], other: Mapping[str, Knob]) -> bool:
    rate = SPACE["learning_rate"].distance(float(one["learning_rate"]), float(other["learning_rate"]))
    same = all(one[knob] == other[knob] for knob in ("update_epochs", "num_generations"))
    return rate >= SAME or not same


def judged(
    number: int, parent: int, rate: float, judgement: Judgement, value: float = 0.1, code: str = "RWD004"
) -> TrialRecord:
    """A trial that changed the learning rate against `parent` because of `code`, with the verdict on it."""
    made = trial(number, value, learning_rate=rate)
    proposal = replace(made.proposal, parent=parent, code=code, knob="learning_rate", origin=Origin.FINDING)
    return replace(made, proposal=proposal, verdict=Verdict(judgement, ""))


def rate_of(proposal: Proposal | None) -> float | None:
    return None if proposal is None else float(proposal.knobs["learning_rate"])


@pytest.mark.parametrize("judgement", [Judgement.UNDECIDED, Judgement.CONFIRMED])
def test_a_move_that_was_not_refuted_is_tried_with_another_value(judgement: Judgement) -> None:
    """1e-5 asks for ten times more; that was worse, so halfway there."""
    trials = [asleep(0, 1e-5, 0.2), judged(1, 0, 1e-4, judgement)]
    assert rate_of(prescribe(trials, SPACE, "validation_reward")) == pytest.approx(10**-4.5)


def test_a_move_that_was_refuted_is_not_repeated() -> None:
    trials = [asleep(0, 1e-5, 0.2), judged(1, 0, 1e-4, Judgement.REFUTED)]
    assert prescribe(trials, SPACE, "validation_reward") is None
    # the same finding of another trial, and the other way from the same trial, are other moves
    assert rate_of(prescribe([*trials, asleep(2, 1e-3, 0.3)], SPACE, "validation_reward")) == pytest.approx(1e-2)
    down = finding("RWD001", Severity.WARNING, "learning_rate", Scale(0.5))
    assert rate_of(prescribe([trial(0, 0.2, down, learning_rate=1e-5), trials[1]], SPACE, "validation_reward")) == 5e-6


def test_what_was_refuted_twice_more_than_confirmed_is_not_trusted_in_any_trial() -> None:
    refuted = [judged(n, n - 1, 10.0 ** (n - 7), Judgement.REFUTED) for n in (2, 3)]
    trials = [asleep(0, 1e-3, 0.9), trial(1, 0.0, learning_rate=1e-6), *refuted]
    assert prescribe(trials, SPACE, "validation_reward") is None
    assert rate_of(prescribe(trials[:3], SPACE, "validation_reward")) == pytest.approx(1e-2)
    confirmed = judged(4, 3, 2e-4, Judgement.CONFIRMED)
    assert rate_of(prescribe([*trials, confirmed], SPACE, "validation_reward")) == pytest.approx(1e-2)
    other = [replace(t, proposal=replace(t.proposal, code="RWD001")) for t in refuted]
    assert rate_of(prescribe([*trials[:2], *other], SPACE, "validation_reward")) == pytest.approx(1e-2)


def test_of_findings_alike_the_one_that_held_true_speaks_first() -> None:
    faster = finding("RWD004", Severity.WARNING, "learning_rate", Scale(10))
    more = finding("RWD001", Severity.WARNING, "num_generations", Scale(2))
    parent = trial(0, 0.0, learning_rate=1e-6)
    best = trial(2, 0.5, more, faster, learning_rate=1e-4)
    for judgement, knob in [(Judgement.CONFIRMED, "learning_rate"), (Judgement.UNDECIDED, "num_generations")]:
        proposal = prescribe([parent, judged(1, 0, 1e-5, judgement), best], SPACE, "validation_reward")
        assert proposal is not None
        assert proposal.knob == knob
    graver = finding("KL001", Severity.ERROR, "num_generations", Scale(2))
    ill = trial(2, 0.5, faster, graver, learning_rate=1e-4)
    proposal = prescribe([replace(t, state=State.PRUNED) for t in (parent, ill)], SPACE, "validation_reward")
    assert proposal is not None
    assert proposal.code == "KL001"


@pytest.mark.parametrize(
    ("choices", "at", "change", "to"),
    [
        ((0, 0.01, 0.1), 0.01, Scale(10), 0.1),
        ((0, 0.01, 0.1), 0.01, Set(0), 0),
        ((0, 0.01, 0.1), 0.1, Add(-0.06), 0.01),
        ((-1, 1), -1, Add(5), 1),
        (("a", "b"), "a", Scale(2), None),
        (("auto", 1, 2), 1, Scale(2), None),
    ],
)
def test_choices_that_are_not_above_0_or_have_no_order(
    choices: tuple[Knob, ...], at: Knob, change: Change, to: Knob | None
) -> None:
    said = finding("RWD004", Severity.WARNING, "num_generations", change)
    space = {**SPACE, "num_generations": Choices(choices)}
    proposal = prescribe([trial(0, 0.1, said, num_generations=at)], space, "validation_reward")
    assert (None if proposal is None else proposal.knobs["num_generations"]) == to


def test_what_findings_have_settled() -> None:
    assert settled([], SPACE) is None
    assert settled([collapse(0, 1e-3)], SPACE) is None
    known = settled([collapse(0, 1e-2), trial(1, 0.4, learning_rate=1e-3), trial(2, 0.3)], SPACE)
    assert known is not None
    assert (known[0].number, known[1]) == (1, {"learning_rate": 1e-3})
    one = {"learning_rate": SPACE["learning_rate"]}
    known = settled([collapse(0, 1e-2), trial(1, 0.4, learning_rate=1e-3)], one)  # something is left to be searched
    assert known is not None
    assert known[1] == {}


# ---- what a study cannot repair


def left(*trials: TrialRecord) -> list[str]:
    return unrepaired(StudyRecord(Path(), replace(load("arithmetic-grpo"), space=SPACE), trials))


LONGER = finding("LEN001", Severity.WARNING, "max_completion_length", Scale(2), Safety.ADVICE)
SAMPLED = finding("KL001", Severity.WARNING, "top_p", Set(1.0))
COLDER = finding("KL001", Severity.WARNING, "learning_rate", Set(1.0))  # it calls for what the space has
ENDLESS = replace(LONGER, code="LEN004", name="missing_eos", prescriptions=(), advice=("Let them end.", "And look."))


def test_what_the_recommended_settings_still_have_and_the_space_cannot_change_is_said() -> None:
    said = "this study cannot repair LEN001 len001, found in 2 of {} trials: it calls for a change of "
    said += "max_completion_length, which the space does not have"
    sick = [collapse(0, 3e-3), trial(1, 0.1, LONGER), trial(2, 0.3, LONGER, learning_rate=1e-4)]
    assert left(*sick) == [said.format(3)]
    assert left(*sick, trial(3, 0.5, learning_rate=3e-4)) == []  # what is recommended does not have it
    assert left(*sick, trial(3, 0.5, replace(LONGER, severity=Severity.INFO), learning_rate=3e-4)) == []
    fatal = collapse(3, 1e-4).findings
    assert left(*sick, trial(3, 0.5, *fatal, learning_rate=3e-4)) == [said.format(4)]  # which is not recommended


def test_what_is_recommended_says_what_it_still_has() -> None:
    hacked = replace(finding("RWD009", Severity.WARNING, "learning_rate", Scale(1 / 8)), name="reward_hacking")
    noted = finding("VAL001", Severity.INFO, "learning_rate", Scale(1 / 8))
    runs = [trial(0, 0.1, COLDER, learning_rate=1e-4), trial(1, 0.5, hacked, noted, LONGER), trial(2, 0.4, LONGER)]
    still, cannot = left(*runs)
    assert still == "what is recommended still has RWD009 reward_hacking (in 1 of 2 runs)"
    assert cannot.startswith("this study cannot repair LEN001 len001, found in 2 of 3 trials")
    assert left(collapse(0, 3e-3)) == []  # nothing is recommended


def test_one_seed_of_the_recommended_settings_is_enough() -> None:
    assert len(left(trial(0, 0.3, learning_rate=1e-4), trial(1, 0.2, LONGER, learning_rate=1e-4))) == 1


def test_what_no_knob_changes_is_said_with_its_advice() -> None:
    (said,) = left(trial(0, 0.3, ENDLESS))
    assert said.endswith("missing_eos, found in 1 of 1 trials: it calls for what no knob changes: Let them end")


def test_what_the_space_has_is_tried_before_it_is_called_out_of_reach() -> None:
    assert left(trial(0, 0.3, COLDER)) == ["what is recommended still has KL001 kl001"]
    (said,) = left(trial(0, 0.3, COLDER), trial(1, 0.1, SAMPLED, learning_rate=1e-4))
    assert "KL001 kl001, found in 2 of 2 trials: it calls for a change of top_p" in said


def test_without_a_recommendation_it_is_what_most_trials_have() -> None:
    grave = replace(SAMPLED, severity=Severity.ERROR)
    assert left() == left(trial(0, None, state=State.FAILED)) == []
    assert len(left(trial(0, 0.3, grave), trial(1, 0.2, grave, LONGER))) == 1  # LEN001 in half of them
    assert len(left(trial(0, 0.3, grave), trial(1, 0.2, grave, LONGER), trial(2, 0.2, LONGER, grave))) == 2


def test_a_finding_says_what_it_calls_for_beside_what_the_space_has() -> None:
    both = replace(SAMPLED, prescriptions=SAMPLED.prescriptions + COLDER.prescriptions)
    only = "KL001 kl001 calls for a change of top_p, which the space does not have"
    assert out_of_reach(trial(0, 0.3, both), SPACE) == out_of_reach(trial(0, 0.3, SAMPLED), SPACE) == [only]
    assert out_of_reach(trial(0, 0.3, COLDER, replace(SAMPLED, severity=Severity.INFO)), SPACE) == []
    assert left(trial(0, 0.3, both)) == ["what is recommended still has KL001 kl001"]  # what the space has may still do
