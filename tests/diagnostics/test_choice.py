"""--only and --ignore: what is left out is no finding, and is said."""

from pathlib import Path

import pytest

from diagnostics.choice import choice
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.readers import events
from diagnostics.rule import all_lints, all_rules

REPORT = diagnose(events.read(Path(__file__).parent.parent / "data" / "runs" / "collapse-0"))
ALL = {*all_rules(), *all_lints()}


def test_nothing_chosen_is_no_choice() -> None:
    assert choice([], []) is None
    assert choice([""], [" , "]) is None


@pytest.mark.parametrize(
    ("only", "ignore", "left"),
    [
        (["KL002"], [], {"KL002"}),
        (["kl_explosion, rwd004"], [], {"KL002", "RWD004"}),
        ([], ["KL002", "Zero_Reward_Std"], {f.code for f in REPORT.findings} - {"KL002", "RWD001"}),
        (["KL002,RWD004"], ["KL002"], {"RWD004"}),
        (["NUM001"], [], set()),
    ],
)
def test_findings_left(only: list[str], ignore: list[str], left: set[str]) -> None:
    chosen = choice(only, ignore)
    assert chosen is not None
    report = chosen.of(REPORT)
    assert {f.code for f in report.findings} == {f.code for f in report.raised} == left
    assert {e.code for e in report.excerpts} == left
    wanted = ALL - chosen.left_out
    assert {s.code for s in report.skips} == (ALL - wanted) | {s.code for s in REPORT.skips}
    assert report.rules == REPORT.rules


def test_causes_are_told_without_what_was_left_out() -> None:
    assert [link.code for cause in REPORT.causes for link in cause.chain if link.code == "KL002"] == ["KL002"]
    chosen, none_left = choice([], ["KL002"]), choice(["NUM001"], [])
    assert chosen is not None and none_left is not None
    (cause,) = chosen.of(REPORT).causes
    assert cause.title == REPORT.causes[0].title
    assert [link.code for link in cause.chain] == [c.code for c in REPORT.causes[0].chain if c.code != "KL002"]
    assert none_left.of(REPORT).causes == ()


def test_what_was_left_out_says_what_it_found() -> None:
    chosen = choice([], ["KL002", "NUM001"])
    assert chosen is not None
    reasons = {skip.code: skip.reason for skip in chosen.of(REPORT).skips}
    assert reasons["KL002"] == "left out as asked, though it found: fatal at step 49"
    assert reasons["NUM001"] == "left out as asked"


def test_a_rule_that_could_not_be_checked_anyway_is_left_out_once() -> None:
    report = diagnose(events.read(Path(__file__).parent.parent / "data" / "runs" / "blown-up"))
    chosen = choice([], ["ENT001"])
    assert chosen is not None
    reasons = [skip.reason for skip in chosen.of(report).skips if skip.code == "ENT001"]
    assert reasons == ["left out as asked"]
    assert len(chosen.of(report).skips) == len(report.skips)


def test_an_unknown_code_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"there is no rule KL0002\. Did you mean KL002 kl_explosion"):
        choice([], ["NUM001,KL0002"])
