"""The table of pathologies: its settings can be trained, its studies started, and a run is judged by its label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from table_pathologies_ppo import SPACE, Run, Scenario, scenarios, sick_row, study_row, twin_row, write_study

from autotune import preflight
from diagnostics.catalogue import here
from diagnostics.finding import Confidence, Direction, Finding, Hypothesis, Prescription, Safety, Scale, Severity
from studies.record import Origin, Proposal, State, StudyRecord, TrialRecord
from studies.spec import load
from studies.trial_log import Evaluation
from trainers import preflight as of_trials

TWINS, SICK = scenarios()
ALL = [*TWINS.values(), *SICK.values()]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_its_settings_are_known_and_can_be_trained(one: Scenario) -> None:
    of_trials.check(one.spec(0))
    rollouts = one.spec(0).completions / one.batch_size
    assert rollouts * one.knobs["update_epochs"] * one.trl.get("num_mini_batches", 1) == one.steps  # type: ignore[operator]
    codes = {code for group in (*one.found, one.maybe) for code in group}
    assert codes <= set(here())
    assert bool(one.outside) == bool(one.advice)


@pytest.mark.parametrize("one", SICK.values(), ids=lambda one: one.name)
def test_its_study_begins_sick_and_reaches_its_twin(one: Scenario, tmp_path: Path) -> None:
    twin = TWINS[one.twin]
    write_study(one, twin, tmp_path / "study.toml")
    study = load(str(tmp_path / "study.toml"))
    preflight.check(study)
    assert study.trial_with(study.start, 0) == replace(one.spec(0), completions=twin.completions)
    assert list(study.space) == list(SPACE)
    assert all(value in study.space[knob] for knob, value in twin.knobs.items())


def finding(code: str, severity: Severity, step: int = 9, knob: str = "learning_rate") -> Finding:
    hypothesis = Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "so")
    remedy = Prescription(knob, Scale(2), hypothesis, Safety.UNSAFE)
    return Finding(code, code.lower(), severity, Confidence.HIGH, 0, step, step, "it is", (), (remedy,))


LOUD, QUIET, GRAVE = Severity.WARNING, Severity.INFO, Severity.ERROR
CLIPPED = Scenario(
    "clip", "boolean-query", 120, {"learning_rate": 1e-3, "update_epochs": 16}, found=[["UPD001", "UPD002"]],
    maybe=["VAL002"],
)  # fmt: skip


def test_a_group_is_found_by_any_of_its_codes_at_warning_or_above() -> None:
    runs = [
        Run([finding("UPD002", QUIET, 4), finding("UPD002", LOUD, 5)], 0.5, 120, 120),
        Run([finding("UPD002", QUIET, 4), finding("VAL002", LOUD), finding("KL002", GRAVE)], 0.7, 30, 120),
    ]
    assert sick_row(CLIPPED, runs) == (
        "| clip | 0.600 ± 0.141 | 120/120, 30/120 | UPD001 or UPD002: **1/2** (UPD002 warning@5; no) | KL002 |"
    )


def test_a_twin_is_quiet_without_an_error() -> None:
    runs = [Run([finding("VAL002", LOUD)], 0.5, 120, 120), Run([finding("KL006", LOUD)], 0.5, 120, 120)]
    assert twin_row(CLIPPED, runs).endswith("| yes | seed 1: KL006 warning@9 | VAL002 |")
    assert "| **no** | seed 0: KL002 error@9" in twin_row(CLIPPED, [Run([finding("KL002", GRAVE)], 0.5, 120, 120)])


def recorded(directory: Path, *trials: tuple[int, float, tuple[Finding, ...]]) -> StudyRecord:
    """A study whose trials differ in their update epochs: those, the objective and the findings of each."""
    made = tuple(
        TrialRecord(
            number, 1, number, Proposal({"learning_rate": 1e-3, "update_epochs": epochs}, Origin.START, ""),
            State.COMPLETE, "", (Evaluation(120, 1920, value),), found,
        )
        for number, (epochs, value, found) in enumerate(trials)
    )  # fmt: skip
    return StudyRecord(directory, load("arithmetic-grpo"), made, ended="finished")


@pytest.mark.parametrize(
    ("after", "came"),
    [
        ((0.89, ()), "yes"),
        ((0.87, ()), "**no**: below 0.880"),
        ((0.89, (finding("UPD002", LOUD),)), "**no**: UPD002 is left (warning, last at step 9)"),
        ((0.89, (finding("UPD001", LOUD),)), "yes"),  # which its twin may have
        ((0.89, (finding("UPD002", GRAVE),)), "**no**: nothing is recommended"),
    ],
)
def test_it_is_repaired_where_nothing_labelled_is_left_and_the_twin_is_reached(
    after: tuple[float, tuple[Finding, ...]], came: str, tmp_path: Path
) -> None:
    study = recorded(tmp_path, (16, 0.4, (finding("UPD002", GRAVE),)), (2, *after))
    row = study_row(CLIPPED, replace(CLIPPED, maybe=["UPD001"]), study, "", [0.89, 0.90, 0.91])
    assert row.endswith(f"| {came} |")
    assert ("update_epochs 16 → 2" in row) == (came != "**no**: nothing is recommended")


def test_what_cannot_be_repaired_has_to_be_said_in_both_places(tmp_path: Path) -> None:
    outside = replace(CLIPPED, outside="a longer limit", advice="max_completion_length")
    study = recorded(tmp_path, (16, 0.4, ()))
    said = "LEN001 truncation calls for a change of max_completion_length, which the space does not have"
    (tmp_path / "journal.md").write_text(f"- {said}.\n", encoding="utf-8")
    assert study_row(outside, CLIPPED, study, f"best: trial 0\n{said}\n", [0.9]).endswith(f"| {said} |")
    assert study_row(outside, CLIPPED, study, "best: trial 0", [0.9]).endswith("| **not said** |")
    assert study_row(replace(outside, advice="top_p"), CLIPPED, study, said, [0.9]).endswith("| **not said** |")
    (tmp_path / "journal.md").write_text("", encoding="utf-8")
    assert study_row(outside, CLIPPED, study, said, [0.9]).endswith("| **not said** |")
