"""Which remedies a report tells: of opposite moves one, and of what belongs together one."""

from dataclasses import replace

from diagnostics.cause import Cause, Link
from diagnostics.finding import (
    Add,
    Change,
    Confidence,
    Direction,
    Finding,
    Hypothesis,
    Prescription,
    Report,
    Scale,
    Set,
    Severity,
)
from diagnostics.report.remedies import remedies, shared


def change(made: Change, knob: str = "learning_rate") -> Prescription:
    return Prescription(knob, made, Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, ""))


def finding(code: str, *changes: Prescription, step: int = 10, worse: bool = False, sure: bool = True) -> Finding:
    severity = Severity.ERROR if worse else Severity.WARNING
    confidence = Confidence.HIGH if sure else Confidence.MEDIUM
    return Finding(code, code.lower(), severity, confidence, step, 99, step, code, (), changes, 1, ("Look.",))


def told(*findings: Finding, causes: tuple[Cause, ...] = ()) -> dict[str, tuple[int, tuple[str, ...]]]:
    """How many prescriptions of each finding are told, and what to see for the others."""
    report = Report("", "", 99, findings, findings, (), (), (), causes=causes)
    return {of.code: (len(said.prescriptions), said.see) for of, said in remedies(report)}


FASTER, SLOWER = change(Scale(10)), change(Scale(1 / 2))
CAUSE = Cause("a", "A", (Link("KL002", "", 10),), ("because",), (), Confidence.MEDIUM, SLOWER)


def test_of_opposite_moves_that_of_the_worse_the_surer_the_earlier_finding_is_told():
    late = finding("A", FASTER, step=20)
    assert told(late, finding("B", SLOWER)) == {"A": (0, ("B",)), "B": (1, ())}
    unsure = finding("B", SLOWER, sure=False)
    assert told(late, unsure) == {"A": (1, ()), "B": (0, ("A",))}
    assert told(late, replace(unsure, severity=Severity.ERROR)) == {"A": (0, ("B",)), "B": (1, ())}


def test_what_is_said_of_the_whole_run_gives_way():
    plateau = finding("RWD004", FASTER, step=0)
    assert told(plateau, finding("ENT002", SLOWER, sure=False, step=50)) == {
        "RWD004": (0, ("ENT002",)),
        "ENT002": (1, ()),
    }


def test_only_what_is_opposite_is_left_out():
    both = finding("B", SLOWER, change(Set(1), "max_grad_norm"), step=20)
    assert told(finding("A", FASTER), both) == {"A": (1, ()), "B": (1, ("A",))}
    assert told(finding("A", SLOWER), both) == {"A": (1, ()), "B": (2, ())}
    assert told(finding("A", FASTER), replace(both, segment=2))["B"] == (2, ())
    assert told(finding("A", change(Scale(2), "vf_coef")), both)["B"] == (2, ())
    assert told(finding("A", change(Add(0.1))), both)["B"] == (1, ("A",))
    assert told(finding("A", change(Set(0.1))), both)["B"] == (2, ())


def test_what_is_not_told_contradicts_nothing():
    three = finding("A", SLOWER, step=1), finding("B", FASTER, change(Scale(2), "vf_coef"), step=2)
    assert told(*three, finding("C", change(Scale(1 / 2), "vf_coef"), step=3))["C"] == (0, ("B",))
    opposed = finding("B", FASTER, step=2), finding("C", SLOWER, step=3)
    assert told(three[0], *opposed) == {"A": (1, ()), "B": (0, ("A",)), "C": (1, ())}
    worth_knowing = replace(finding("A", FASTER), severity=Severity.INFO)
    assert told(worth_knowing, finding("B", SLOWER, step=20))["B"] == (1, ())


def test_a_likely_cause_speaks_for_its_findings():
    explained, other = finding("KL002", FASTER), finding("RWD004", SLOWER, step=20)
    assert told(explained, other, causes=(CAUSE,)) == {"KL002": (0, ("CAUSE 1",)), "RWD004": (1, ())}
    guess = replace(CAUSE, confidence=Confidence.LOW, recommendation=None)
    assert told(explained, causes=(guess,)) == {"KL002": (1, ())}
    second = replace(CAUSE, name="b")
    assert told(explained, causes=(guess, second))["KL002"] == (0, ("CAUSE 2",))
    assert told(explained, causes=(CAUSE, second))["KL002"] == (0, ("CAUSE 1",))
    assert told(replace(explained, segment=2), causes=(CAUSE,))["KL002"] == (1, ())


def test_nothing_contradicts_a_cause():
    guess = replace(CAUSE, confidence=Confidence.LOW)
    worst = finding("RWD004", FASTER, worse=True)
    assert told(worst, finding("KL002", SLOWER), causes=(guess,)) == {"RWD004": (0, ("CAUSE 1",)), "KL002": (1, ())}


def test_a_longer_limit_is_not_told_where_the_text_grows_without_end():
    cut, grows = finding("LEN001", change(Scale(2), "max_completion_length")), finding("LEN003", SLOWER, step=20)
    assert told(cut, grows) == {"LEN001": (0, ("LEN003",)), "LEN003": (1, ())}
    assert told(cut)["LEN001"] == (1, ())
    assert told(cut, replace(grows, severity=Severity.INFO))["LEN001"] == (1, ())


def test_a_longer_limit_is_the_causes_where_a_cause_explains_the_cut():
    cut, grows = finding("LEN001", change(Scale(2), "max_completion_length")), finding("LEN003", SLOWER, step=20)
    explains = replace(CAUSE, chain=(Link("LEN001", "", 10),))
    assert told(cut, grows, causes=(explains,))["LEN001"] == (0, ("CAUSE 1",))


def test_causes_that_advise_differently_are_told_each():
    other = replace(CAUSE, advice="Look at the prompts.", segment=2)
    assert shared((CAUSE, other)) == ((CAUSE,), (other,))
    assert shared((CAUSE, replace(CAUSE, segment=2))) == ((CAUSE, replace(CAUSE, segment=2)),)
