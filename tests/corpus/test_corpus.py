"""How right the rules have to be on recorded runs with labels; `make corpus` says which miss and which alarm it is.

Our own runs are held to their labels one by one, in tests/test_recorded_runs.py.
"""

from __future__ import annotations

import pytest
from judge import total, verdicts_on
from labels import PATHOLOGIES, SHARED, corpora, runs
from leave_out import left_out, said_by_default

from diagnostics.rule import all_rules

ENOUGH = {PATHOLOGIES: (0.97, 0.95), SHARED: (0.95, 0.90)}  # precision and recall


@pytest.mark.parametrize("corpus", ENOUGH)
def test_the_rules_are_right_enough(corpus: str) -> None:
    if corpus not in corpora():
        pytest.skip("AUTOTUNE_CORPUS is not set: the folder with the shared real runs")
    recorded = runs(corpus)
    assert [run.unread for run in recorded if run.unread] == []
    verdicts = verdicts_on(recorded, said_by_default(recorded))
    assert {name: v.errors for name, v in verdicts.items() if v.errors} == {}
    score = total(verdicts, recorded)
    precision, recall = ENOUGH[corpus]
    assert score.precision >= precision, {name: v.false for name, v in verdicts.items() if v.false}
    assert score.recall >= recall, {name: [*map(str, v.missed)] for name, v in verdicts.items() if v.missed}


def test_what_is_labelled_is_found_where_it_is() -> None:
    """Nine in ten onsets, of those that a label tells, lie within its range or a tenth of the run from it."""
    if SHARED not in corpora():
        pytest.skip("AUTOTUNE_CORPUS is not set: the folder with the shared real runs")
    recorded = runs(SHARED)
    score = total(verdicts_on(recorded, said_by_default(recorded)), recorded)
    assert score.near >= 0.9 * len(score.onsets) > 0


def test_thresholds_hold_on_a_repository_that_they_were_not_chosen_on() -> None:
    if SHARED not in corpora():
        pytest.skip("AUTOTUNE_CORPUS is not set: the folder with the shared real runs")
    everything = [run for corpus in corpora() for run in runs(corpus)]
    said = said_by_default(everything)
    anew, moves = left_out(everything, said, all_rules())
    before, after = (total(verdicts_on(runs(SHARED), by_run), runs(SHARED)) for by_run in (said, anew))
    assert after.precision >= before.precision - 0.05, moves
    assert after.recall >= before.recall - 0.05, moves
