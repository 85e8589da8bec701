"""What a report says once: causes that segments share, and each remedy where it belongs and is not contradicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from diagnostics.cause import OVERALL, Cause
from diagnostics.finding import Add, Confidence, Finding, Prescription, Report, Scale, Severity

Key = tuple[str, int]  # the code and the segment of a finding
MOOT = {"KL006": "KL002"}  # a spike is no harmless one where the policy is carried off
YIELDS = {"LEN001": "LEN003"}  # a longer limit only costs more where the text grows without end


@dataclass(frozen=True, slots=True)
class Remedies:
    """What is told of the remedies of a finding, and what to `see` for those that are not."""

    prescriptions: tuple[Prescription, ...]
    advice: tuple[str, ...]
    see: tuple[str, ...] = ()


def shared(causes: Sequence[Cause]) -> tuple[tuple[Cause, ...], ...]:
    """The causes, those of several segments that are the same and are mended alike together."""
    alike: dict[object, list[Cause]] = {}
    for cause in causes:
        change = cause.recommendation and (cause.recommendation.knob, cause.recommendation.change)
        alike.setdefault((cause.name, change, cause.advice), []).append(cause)
    return tuple(map(tuple, alike.values()))


def without_moot(report: Report) -> Report:
    """`report` without the findings that say nothing beside others."""
    found = {_key(finding) for finding in report.findings}
    kept = tuple(f for f in report.findings if (MOOT.get(f.code, ""), f.segment) not in found)
    return replace(report, findings=kept)


def remedies(report: Report) -> Iterator[tuple[Finding, Remedies]]:
    """Each finding of `report` with what is told of its remedies.

    Those of a finding that a likely cause explains are the cause's. Of two changes that move a knob in opposite
    directions the cause's is told; then that of the worse finding, of one that is not said of the run as a whole, of
    the surer one, of the one that set in earlier.
    """
    causes = list(_numbered(report))
    owners = {
        (link.code, cause.segment): name
        for name, cause in reversed(causes)
        if cause.confidence > Confidence.LOW
        for link in cause.chain
    }
    loud = [finding for finding in report.findings if finding.severity > Severity.INFO]
    found = {_key(finding) for finding in loud}
    owners |= {key: YIELDS[key[0]] for key in found - set(owners) if (YIELDS.get(key[0], ""), key[1]) in found}
    moved: dict[tuple[int, str, bool], str] = {}  # by segment, knob and whether it is raised: who says so
    for name, cause in causes:
        if cause.recommendation is not None:
            _note(moved, cause.segment, cause.recommendation, name)
    told = {}
    for finding in sorted(loud, key=_precedence):
        owner = owners.get(_key(finding))
        told[_key(finding)] = Remedies((), (), (owner,)) if owner else _uncontradicted(finding, moved)
    for finding in report.findings:
        yield finding, told.get(_key(finding), Remedies(finding.prescriptions, finding.advice))


def _numbered(report: Report) -> Iterator[tuple[str, Cause]]:
    """Each cause with what the report calls it."""
    for place, causes in enumerate(shared(report.causes), 1):
        yield from ((f"CAUSE {place}", cause) for cause in causes)


def _uncontradicted(finding: Finding, moved: dict[tuple[int, str, bool], str]) -> Remedies:
    """What of the prescriptions of `finding` nothing before it in `moved` contradicts; it is noted there."""
    opposed = {p: _opponent(moved, finding.segment, p) for p in finding.prescriptions}
    kept = tuple(p for p in finding.prescriptions if not opposed[p])
    for prescription in kept:
        _note(moved, finding.segment, prescription, finding.code)
    return Remedies(kept, finding.advice, tuple(dict.fromkeys(filter(None, opposed.values()))))


def _note(moved: dict[tuple[int, str, bool], str], segment: int, prescription: Prescription, by: str) -> None:
    raises = _raises(prescription)
    if raises is not None:
        moved.setdefault((segment, prescription.knob, raises), by)


def _opponent(moved: Mapping[tuple[int, str, bool], str], segment: int, prescription: Prescription) -> str:
    raises = _raises(prescription)
    return "" if raises is None else moved.get((segment, prescription.knob, not raises), "")


def _raises(prescription: Prescription) -> bool | None:
    """Whether a change raises its knob, None where that depends on what it is set to."""
    match prescription.change:
        case Scale(factor):
            return factor > 1
        case Add(amount):
            return amount > 0
    return None


def _precedence(finding: Finding) -> tuple[int, bool, int, int, str]:
    return -finding.severity, finding.code in OVERALL, -finding.confidence, finding.first_step, finding.code


def _key(finding: Finding) -> Key:
    return finding.code, finding.segment
