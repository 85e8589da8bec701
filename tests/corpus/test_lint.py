"""The settings of recorded runs tell what they can before these, and nothing false of the healthy ones."""

from __future__ import annotations

import pytest
from labels import DATA, OURS, PATHOLOGIES, SHARED, corpora
from table_lint import foreseen, truth


@pytest.mark.parametrize(("corpus", "least"), [(PATHOLOGIES, 36), (OURS, 38), (SHARED, 13)])
def test_settings_tell_what_they_can_and_nothing_false(corpus: str, least: int) -> None:
    if corpus not in corpora():
        pytest.skip("AUTOTUNE_CORPUS is not set: the folder with the shared real runs")
    rows = foreseen(corpus)
    assert len(rows) >= least
    assert {row.name: sorted(row.missed) for row in rows if row.missed} == {}
    assert {row.name: [f"{f.code}: {f.message}" for f in row.false] for row in rows if row.false} == {}


def test_the_truth_is_of_runs_that_are_there() -> None:
    for corpus, folder in (("pathologies", "pathologies"), ("runs", "runs")):
        assert set(truth()[corpus]) <= {path.name for path in (DATA / folder).iterdir()}
