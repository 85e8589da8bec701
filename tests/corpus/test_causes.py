"""The first cause of a recorded run is mostly the one that it was recorded with, and the surer it is the more so."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence

import pytest
from labels import DATA, OURS, PATHOLOGIES
from table_causes import WITH_SETTINGS, Verdict, corpora

from diagnostics.finding import Confidence


@pytest.fixture(scope="module")
def verdicts() -> Mapping[str, Sequence[Verdict]]:
    return corpora()


@pytest.mark.parametrize(("corpus", "least"), [(PATHOLOGIES, 0.88), (WITH_SETTINGS, 0.9), (OURS, 0.9)])
def test_the_first_cause_is_right(verdicts: Mapping[str, Sequence[Verdict]], corpus: str, least: float) -> None:
    sick = [verdict for verdict in verdicts[corpus] if verdict.right]
    assert sum(verdict.is_right for verdict in sick) >= least * len(sick)


def test_a_sure_cause_is_right_more_often_than_not_sure_ones(verdicts: Mapping[str, Sequence[Verdict]]) -> None:
    told = [v for runs in verdicts.values() for v in runs if v.right and v.told is not None]
    sure = [verdict.is_right for verdict in told if verdict.told and verdict.told.confidence is Confidence.HIGH]
    assert sum(sure) >= 0.95 * len(sure)
    assert len(sure) < len(told)


def test_healthy_runs_have_hardly_any(verdicts: Mapping[str, Sequence[Verdict]]) -> None:
    healthy = [verdict for runs in verdicts.values() for verdict in runs if not verdict.right]
    assert sum(verdict.told is not None for verdict in healthy) <= 0.1 * len(healthy)


def test_the_truth_is_of_runs_that_are_there() -> None:
    truth = tomllib.loads((DATA / "causes.toml").read_text(encoding="utf-8"))
    for corpus, folder in (("pathologies", "pathologies"), ("runs", "runs")):
        assert set(truth[corpus]) <= {path.name for path in (DATA / folder).iterdir()}
