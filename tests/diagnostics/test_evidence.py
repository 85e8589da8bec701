"""Which numbers of a finding are a level of their metric, so that its limit can be drawn in the metric's plot."""

import numpy as np
import pytest

from diagnostics.engine import diagnose
from diagnostics.finding import Evidence
from diagnostics.rule import Rule, all_rules


@pytest.mark.parametrize("rule", all_rules().values(), ids=all_rules())
def test_a_level_lies_between_the_lowest_and_the_highest_value(rule: Rule) -> None:
    for case in rule.fires:
        for finding in diagnose([case.run], {rule.code: rule}).findings:
            for evidence in finding.evidence:
                values = case.run.get(evidence.metric).values
                if evidence.in_unit:
                    low, high = np.nanmin(values), np.nanmax(values)
                    slack = 1e-9 * max(abs(low), abs(high))
                    within = low - slack <= evidence.value <= high + slack
                    assert within or low - slack <= -evidence.value <= high + slack, evidence  # or a size


LEVELS = "mean of the last 10 points", "median size of the last 9 points", "value", "highest of the last 20 points"
OTHERS = "fall in units of noise", "share of the last 10 points", "points without a change", "turns within 70 points"


@pytest.mark.parametrize("statistic", [*LEVELS, "size, against what was usual before"])
def test_levels(statistic: str) -> None:
    assert Evidence("kl", 0, 1, statistic, 1.0, 2.0).in_unit


@pytest.mark.parametrize("statistic", [*OTHERS, "gain over the first 20 points"])
def test_no_levels(statistic: str) -> None:
    assert not Evidence("kl", 0, 1, statistic, 1.0, 2.0).in_unit
