"""A report in words before it has a format: all renderers show this, so that they say the same.

Every text has passed `visible`: it is one line and moves no cursor. What is markup in a format is the renderer's to
escape.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from diagnostics.cause import Cause
from diagnostics.excerpt import Excerpt
from diagnostics.finding import Confidence, Evidence, Finding, Prescription, Report, Safety, Severity, Skip
from diagnostics.report.remedies import Remedies, remedies, shared, without_moot
from diagnostics.report.words import amounts, change, onset, read_as, rises, spoken, steps, to_log, told, when, where
from diagnostics.text import count, visible

MOST_NAMES, MOST_SUGGESTED = 40, 12  # of those not understood; some logs have hundreds
MOST_ALTERNATIVES = 3  # metrics of which a rule needs any one, as far as they are named unless asked


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do: `lead` is "Try", "Or try" or "Consider"; without a knob `what` is a sentence for a person."""

    lead: str
    what: str
    because: str = ""
    expect: str = ""
    prescription: Prescription | None = None


@dataclass(frozen=True, slots=True)
class Number:
    """One number a finding rests on. `logged` is the metric's name in the log, "" where it is the same."""

    metric: str
    logged: str
    statistic: str
    value: str
    limit: str
    steps: str


@dataclass(frozen=True, slots=True)
class ToldCause:
    """A cause, by the segment in which it is surest; `chains` are what became of it in each segment (lead, chain)."""

    place: int
    title: str
    scope: str
    chains: tuple[tuple[str, str], ...]
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    settle: str

    @property
    def name(self) -> str:
        """What findings call it."""
        return f"CAUSE {self.place}"


@dataclass(frozen=True, slots=True)
class ToldFinding:
    """A finding: `where` it is, `when` it began and became known, its numbers, and what to do or what to `see`.

    `onset` is the first step of it, also as long as it was less severe.
    """

    finding: Finding
    code: str
    name: str
    message: str
    onset: int
    where: str
    when: str
    numbers: tuple[Number, ...]
    excerpt: Excerpt | None
    see: str
    remedies: tuple[Remedy, ...]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.finding.severity


@dataclass(frozen=True, slots=True)
class ToldName:
    """A name nobody knows: what it may mean, and the option that says so."""

    name: str
    perhaps: str
    option: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The report in three short texts: what is wrong, since when, what to change; "" where there is none.

    `severity` is that of the worst finding at WARNING or above, None where there is none; `checked` is whether any
    rule could judge the run; `onset` is the step of `since` alone.
    """

    severity: Severity | None
    checked: bool
    what: str
    since: str = ""
    onset: str = ""
    remedy: Remedy | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """What a report says. `findings` are told whole, `worth_knowing` are harmless ones for a line each.

    `lacking` (what is lacking, which rules need what) and `skipped` (rules, reason) are what was not checked.
    """

    source: str
    read_as: str
    verdict: Verdict
    summary: str
    clean: bool
    causes: tuple[ToldCause, ...]
    unexplained: str
    findings: tuple[ToldFinding, ...]
    worth_knowing: tuple[ToldFinding, ...]
    explained: tuple[tuple[str, str, str], ...]  # title, steps, text
    skips: int
    lacking: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    unmapped: int
    suggested: tuple[ToldName, ...]
    unknown: str
    notes: tuple[str, ...]


def digest(report: Report, *, verbose: bool = False) -> Digest:
    """What is told of `report`; with `verbose` all of it, also what single findings say that their cause says."""
    report = report if verbose else without_moot(report)
    findings: list[ToldFinding] = []
    worth_knowing: list[ToldFinding] = []
    for finding, of_it in remedies(report):
        if verbose:
            of_it = replace(of_it, prescriptions=finding.prescriptions, advice=finding.advice)
        kept = findings if verbose or finding.severity > Severity.INFO else worth_knowing
        kept.append(_finding(finding, report, of_it))
    causes = tuple(_cause(place, alike, report) for place, alike in enumerate(shared(report.causes), 1))
    suggested = tuple(_suggested(report))
    return Digest(
        source=visible(report.source),
        read_as=visible(read_as(report)),
        verdict=_verdict(report, causes, findings),
        summary=_summary(report),
        clean=report.judged and not report.findings,
        causes=causes,
        unexplained=_unexplained(report),
        findings=tuple(findings),
        worth_knowing=tuple(worth_knowing),
        explained=tuple(_explained(report)),
        skips=len(report.skips),
        lacking=tuple(_lacking(report.skips, verbose)),
        skipped=tuple(_skipped(report.skips, verbose)),
        unmapped=len(report.unmapped),
        suggested=suggested,
        unknown=_unknown(report, {name.name for name in suggested}),
        notes=tuple(map(visible, report.notes)),
    )


def _verdict(report: Report, causes: Sequence[ToldCause], findings: Sequence[ToldFinding]) -> Verdict:
    loud = [told_of for told_of in findings if told_of.severity > Severity.INFO]
    if not loud:
        healthy = "Nothing is wrong that could be checked" if report.judged else "Nothing could be checked"
        return Verdict(None, report.judged, healthy)
    worst = loud[0]
    key = worst.finding.code, worst.finding.segment
    behind = next(
        (
            told_cause
            for told_cause, alike in zip(causes, shared(report.causes), strict=True)
            if any(key == (link.code, cause.segment) for cause in alike for link in cause.chain)
        ),
        None,
    )
    given = behind.remedies if behind else worst.remedies
    segment = f" of segment {worst.finding.segment}" if report.segments > 1 else ""
    onset = f"step {worst.onset}{segment}"
    what = behind.title if behind else _sentence(worst.message)
    return Verdict(worst.severity, True, what, _since(onset, worst, report), onset, given[0] if given else None)


def _sentence(text: str) -> str:
    """`text` with a capital at its start, unless it begins with a name."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def _since(onset: str, told_of: ToldFinding, report: Report) -> str:
    """The onset of a finding, and the steps at which it could be known and grew worse."""
    known, every = told_of.finding.raised_at, rises(told_of.finding, report)
    if len(every) > 1:
        return f"since {onset}; {', '.join(f'{r.severity.name.lower()} at step {r.raised_at}' for r in every)}"
    return f"since {onset}" if known == told_of.onset else f"since {onset}, known at step {known}"


def _summary(report: Report) -> str:
    """How many findings of each severity, out of how many rules that could be checked at all."""
    if not report.judged:
        map = " Say what its names mean with --map NAME=METRIC." if report.unmapped else ""
        return f"Nothing could be checked: no rule found what it needs.{map}"
    scope = f"{report.rules - len(report.skips)} of {report.rules} rules could be checked"
    return f"{amounts(f.severity for f in report.findings) or 'No findings'}; {scope}."


def _unexplained(report: Report) -> str:
    """Which findings none of the causes accounts for."""
    left = report.unexplained()
    if not report.causes or not left:
        return ""
    codes = ", ".join(dict.fromkeys(visible(finding.code) for finding in left))  # of several segments
    return f"{count(len(left), 'finding')} not explained by a common cause: {codes}"


def _cause(place: int, causes: Sequence[Cause], report: Report) -> ToldCause:
    cause, *others = causes
    segments = ", ".join(map(str, sorted(c.segment for c in causes)))
    segment = f"{'segments' if others else 'segment'} {segments}, " if report.segments > 1 else ""
    what_to_do = [_prescribed(cause.recommendation, report.framework)] if cause.recommendation is not None else []
    if cause.advice:
        what_to_do.append(Remedy("Consider", visible(cause.advice)))
    return ToldCause(
        place=place,
        title=visible(cause.title),
        scope=f"{segment}{cause.confidence.name.lower()} confidence",
        chains=tuple(
            (f"segment {one.segment}: " if others else "", visible(told(one, report)))
            for one in sorted(causes, key=lambda cause: cause.segment)
        ),
        speaks_for=tuple(map(visible, cause.speaks_for)),
        speaks_against=tuple(map(visible, cause.speaks_against)),
        remedies=tuple(what_to_do),
        settle=visible(to_log(cause.settled_by)) if cause.settled_by else "",
    )


def _finding(finding: Finding, report: Report, of_it: Remedies) -> ToldFinding:
    tried = [_prescribed(p, report.framework, another=i > 0) for i, p in enumerate(of_it.prescriptions)]
    doubt = "" if finding.confidence is Confidence.HIGH else f", {finding.confidence.name.lower()} confidence"
    return ToldFinding(
        finding=finding,
        code=visible(finding.code),
        name=visible(finding.name),
        message=visible(finding.message),
        onset=onset(finding, report),
        where=where(finding, report),
        when=when(finding, report) + doubt,
        numbers=tuple(_number(evidence, report) for evidence in finding.evidence),
        excerpt=report.excerpt(finding),
        see=visible(", ".join(of_it.see)),
        remedies=(*tried, *(Remedy("Consider", visible(sentence)) for sentence in of_it.advice)),
    )


def _number(evidence: Evidence, report: Report) -> Number:
    logged = report.names.get(evidence.metric, evidence.metric)
    return Number(
        metric=visible(evidence.metric),
        logged=visible(logged) if logged != evidence.metric else "",
        statistic=visible(evidence.statistic),
        value=f"{evidence.value:.4g}",
        limit=f"{evidence.limit:.4g}",
        steps=steps(evidence.first_step, evidence.last_step),
    )


def _prescribed(prescription: Prescription, framework: str, *, another: bool = False) -> Remedy:
    hypothesis = prescription.hypothesis
    amount = f" by {hypothesis.amount:.3g}" if hypothesis.amount else ""
    return Remedy(
        lead="Consider" if prescription.safety is Safety.ADVICE else "Or try" if another else "Try",
        what=change(prescription, visible(spoken(prescription.knob, framework))),
        because=visible(hypothesis.because),
        expect=f"expect {visible(hypothesis.metric)} to go {hypothesis.direction}{amount}",
        prescription=prescription,
    )


def _explained(report: Report) -> Iterator[tuple[str, str, str]]:
    for explained in report.explained:
        segment = f"segment {explained.segment}, " if report.segments > 1 else ""
        of_steps = f"{segment}steps {explained.first_step} to {explained.last_step}"
        yield visible(explained.title), of_steps, visible(explained.text)


def _lacking(skips: Sequence[Skip], verbose: bool) -> Iterator[tuple[str, str]]:
    """What rules need and a run lacks, together where it lacks it in the same way."""
    lacking: dict[str, list[str]] = {}
    for reason, codes in _by_reason(skips).items():
        need, which, lack = reason.partition(", which ")
        if which and need.startswith("needs "):
            needed = _alternatives(need.removeprefix("needs "), verbose)
            lacking.setdefault(lack, []).append(f"{', '.join(codes)} {needed}")
    for lack, needs in lacking.items():
        yield f"need what {visible(lack)}", visible("; ".join(needs))


def _skipped(skips: Sequence[Skip], verbose: bool) -> Iterator[tuple[str, str]]:
    """The other rules that could not be checked, together where it is for the same reason."""
    for reason, codes in _by_reason(skips).items():
        need, which, _ = reason.partition(", which ")
        if not (which and need.startswith("needs ")):
            yield visible(", ".join(codes)), visible(_alternatives(reason, verbose))


def _by_reason(skips: Sequence[Skip]) -> dict[str, list[str]]:
    by_reason: dict[str, list[str]] = {}
    for skip in skips:
        by_reason.setdefault(skip.reason, []).append(skip.code)
    return by_reason


def _alternatives(reason: str, verbose: bool) -> str:
    """`reason` with the first few of many metrics of which any one would do."""
    names = reason.split(" or ")
    if verbose or len(names) <= MOST_ALTERNATIVES + 1:
        return reason
    comma, rest = names[-1].partition(", ")[1:]
    left = len(names) - MOST_ALTERNATIVES
    return f"{' or '.join(names[:MOST_ALTERNATIVES])} or {left} others{comma}{rest}"


def _suggested(report: Report) -> Iterator[ToldName]:
    """Names without a meaning that may mean something, each with how to say so."""
    for name, metrics in list(report.suggestions.items())[:MOST_SUGGESTED]:
        option = f"--map {shlex.quote(visible(name))}={metrics[0]}"
        yield ToldName(visible(name), f"perhaps {' or '.join(metrics)}", option)


def _unknown(report: Report, suggested: set[str]) -> str:
    """The other names without a meaning in one line."""
    rest = [name for name in map(visible, report.unmapped) if name not in suggested]
    more = f" and {len(rest) - MOST_NAMES} more" if len(rest) > MOST_NAMES else ""
    return f"{', '.join(rest[:MOST_NAMES])}{more}"
