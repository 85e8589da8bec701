"""One run as a section of a page: verdict, causes, findings with their curves, and what is folded below them."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from diagnostics.details import Details, Sampled, Trace
from diagnostics.finding import Severity
from diagnostics.report.digest import Digest, Number, Remedy, ToldCause, ToldFinding
from diagnostics.report.html_data import Curves
from diagnostics.text import count, visible


def section(number: int, told: Digest, details: Details, curves: Curves, heading: int) -> Iterator[str]:
    """The section of the page's run `number`; `heading` is the level of its title."""
    yield f'<section class=run id="run-{number}">'
    yield from _verdict(told, details, heading)
    if told.causes:
        yield f"<h{heading + 1}>Causes</h{heading + 1}>"
        for cause in told.causes:
            yield from _cause(cause, details, heading)
        if told.unexplained:
            yield f"<p class=quiet>{escape(told.unexplained)}</p>"
    if told.findings:
        yield f"<h{heading + 1}>Findings</h{heading + 1}>"
        for finding in told.findings:
            yield from _finding(number, finding, details, curves, heading)
    if told.worth_knowing:
        yield f"<h{heading + 1}>Worth knowing</h{heading + 1}><ul>"
        for finding in told.worth_knowing:
            yield f"<li>{badge(finding.severity)} <b>{escape(f'{finding.code} {finding.name}')}</b> "
            yield f"<span class=quiet>{escape(finding.where)}</span><br>{escape(finding.message)}"
        yield "</ul>"
    yield from _metrics(number, details, curves)
    yield from _samples(details)
    yield from _settings(details)
    yield from _unchecked(told)
    yield "</section>"


def badge(severity: Severity) -> str:
    """A severity, told by its word and not by its colour alone."""
    return f'<span class="badge {severity.name.lower()}">{severity.name}</span>'


def _verdict(told: Digest, details: Details, heading: int) -> Iterator[str]:
    verdict = told.verdict
    kind = verdict.severity.name.lower() if verdict.severity is not None else "clean" if verdict.checked else "blind"
    label = badge(verdict.severity) + " " if verdict.severity is not None else ""
    yield f'<header class="verdict {kind}"><h{heading}>{label}{escape(verdict.what)}</h{heading}>'
    if verdict.since:
        yield f"<p class=since>{escape(verdict.since[0].upper() + verdict.since[1:])}.</p>"
    if verdict.remedy:
        what = f"<strong>{escape(verdict.remedy.what)}</strong>{_values(verdict.remedy, details)}"
        yield f"<p class=try><b>{verdict.remedy.lead}:</b> {what}</p>"
    yield f"<p class=quiet>{escape(told.summary)}<br><code>{escape(told.source)}</code> {escape(told.read_as)}</p>"
    yield "</header>"


def _cause(cause: ToldCause, details: Details, heading: int) -> Iterator[str]:
    yield f"<article class=cause><h{heading + 2}>{cause.name}: {escape(cause.title)} "
    yield f"<span class=quiet>{escape(cause.scope)}</span></h{heading + 2}>"
    yield from (f"<p class=try>{_remedy(remedy, details)}</p>" for remedy in cause.remedies)
    yield "<ul>"
    yield from (f"<li><b>for</b> {escape(reason)}" for reason in cause.speaks_for)
    yield from (f"<li><b>against</b> {escape(reason)}" for reason in cause.speaks_against)
    yield from (f"<li>{escape(lead)}{escape(chain).replace(' -&gt; ', ' &rarr; ')}" for lead, chain in cause.chains)
    if cause.settle:
        yield f"<li>what would settle it: {escape(cause.settle)}"
    yield "</ul></article>"


def _finding(run: int, told: ToldFinding, details: Details, curves: Curves, heading: int) -> Iterator[str]:
    yield f'<article class="finding {told.severity.name.lower()}"><h{heading + 2}>{badge(told.severity)} '
    yield f"{escape(f'{told.code} {told.name}')} <span class=quiet>{escape(told.when)}</span></h{heading + 2}>"
    yield f"<p>{escape(told.message)}</p>"
    drawn: set[str] = set()
    for number, evidence in zip(told.numbers, told.finding.evidence, strict=True):
        yield f"<p class=number>{_number(number)}</p>"
        place = curves.place(evidence.metric, told.finding.segment)
        if place is not None and evidence.metric not in drawn:
            drawn.add(evidence.metric)
            found = f' data-first="{told.onset}" data-last="{told.finding.last_step}"'
            yield _figure(run, told.finding.segment, place, found)
    if told.see:
        yield f"<p class=quiet>see {escape(told.see)}</p>"
    yield from (f"<p class=try>{_remedy(remedy, details)}</p>" for remedy in told.remedies)
    yield "</article>"


def _figure(run: int, segment: int, place: int, more: str = "") -> str:
    """A place for a curve; the page's script draws it when it can be seen."""
    return f'<figure data-run="{run}" data-segment="{segment - 1}" data-trace="{place}"{more}></figure>'


def _number(number: Number) -> str:
    logged = f" <span class=quiet>(<code>{escape(number.logged)}</code> in the log)</span>" if number.logged else ""
    return (
        f"<code>{escape(number.metric)}</code>{logged} {escape(number.statistic)} <b>{number.value}</b> "
        f"<span class=quiet>(limit {number.limit}), {number.steps}</span>"
    )


def _remedy(remedy: Remedy, details: Details) -> str:
    because = f", because {escape(remedy.because)}" if remedy.because else ""
    expect = f"<span class=quiet>; {escape(remedy.expect)}</span>" if remedy.expect else ""
    what = f"<strong>{escape(remedy.what)}</strong>{_values(remedy, details)}" if remedy.prescription else None
    return f"<b>{remedy.lead}:</b> {what or escape(remedy.what)}{because}{expect}"


def _values(remedy: Remedy, details: Details) -> str:
    """What the setting is and would be, where its value is known and was the same all the time."""
    change = remedy.prescription
    name = details.canonical.get(change.knob, "") if change else ""
    value = details.settings.get(name)
    if change is None or isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if any(changed == name for _, changed, _ in details.changes):
        return ""
    return f" ({value:.4g} &rarr; {change.change.apply(value):.4g})"


def _metrics(run: int, details: Details, curves: Curves) -> Iterator[str]:
    """All curves, each drawn when it is opened."""
    traces = [
        (segment, place, trace)
        for segment, of_segment in enumerate(details.traces, 1)
        for place, trace in enumerate(of_segment)
    ]
    if not traces:
        return
    yield f"<details class=metrics><summary>All curves: {len(traces)}</summary>"
    for segment, place, trace in sorted(traces, key=lambda entry: (entry[0], not entry[2].understood, entry[2].metric)):
        yield f"<details><summary>{_trace(trace, segment if len(details.traces) > 1 else None)}</summary>"
        yield f"{_figure(run, segment, place)}</details>"
    yield "</details>"


def _trace(trace: Trace, segment: int | None) -> str:
    of = f" of segment {segment}" if segment is not None else ""
    logged = f" ({escape(visible(trace.logged))} in the log)" if trace.logged != trace.metric else ""
    unknown = "" if trace.understood else ", not understood"
    end = f", {trace.values[-1]:.4g} at step {trace.steps[-1]}" if trace.points else ""
    points = count(trace.points, "point")
    return f"<code>{escape(visible(trace.metric))}</code><span class=quiet>{of}{logged}{unknown}: {points}{end}</span>"


def _samples(details: Details) -> Iterator[str]:
    if details.unread:
        yield f"<p class=quiet>{escape(visible(details.unread))}</p>"
    if not details.samples:
        return
    steps = ", ".join(str(sampled.step) for sampled in details.samples)
    yield f"<details><summary>Samples at step {steps}</summary>"
    for sampled in details.samples:
        yield from _sampled(sampled)
    yield "</details>"


def _sampled(sampled: Sampled) -> Iterator[str]:
    yield f"<h4>Step {sampled.step}</h4>"
    for prompt, completion, reward in sampled.samples:
        value = f"{reward:.4g}" if reward is not None else "unknown"
        yield f"<div class=sample><p class=quiet>reward <b>{value}</b></p><pre>{_text(prompt)}</pre>"
        yield f"<pre class=completion>{_text(completion)}</pre></div>"


def _text(text: str) -> str:
    """Text of several lines; a line break stays, other controls are written out."""
    return "\n".join(escape(visible(line)) for line in text.split("\n"))


def _settings(details: Details) -> Iterator[str]:
    if not details.settings:
        return
    yield f"<details class=print><summary>Settings: {len(details.settings)}</summary>"
    yield "<div class=wide><table class=settings><tbody>"
    for name, value in details.settings.items():
        yield f"<tr><td><code>{escape(visible(name))}</code><td>{escape(visible(str(value)))}"
    for step, name, value in details.changes:
        yield f"<tr><td><code>{escape(visible(name))}</code> from step {step} on<td>{value:.4g}"
    yield "</tbody></table></div></details>"


def _unchecked(told: Digest) -> Iterator[str]:
    if told.skips:
        yield f"<details class=print><summary>Not checked: {count(told.skips, 'rule')}</summary><ul>"
        yield from (f"<li>{escape(lack)}: {escape(needs)}" for lack, needs in told.lacking)
        yield from (f"<li><b>{escape(codes)}</b> {escape(reason)}" for codes, reason in told.skipped)
        yield "</ul></details>"
    if told.unmapped:
        shown = "" if told.verdict.checked else " open"  # as these are all that there is to act on
        yield f"<details class=print{shown}><summary>Not understood: {count(told.unmapped, 'name')}</summary><ul>"
        for name in told.suggested:
            yield f"<li><code>{escape(name.name)}</code> {escape(name.perhaps)}: <code>{escape(name.option)}</code>"
        yield f"<li>{escape(told.unknown)}" if told.unknown else ""
        yield "</ul></details>"
    if told.explained:
        yield "<details class=print><summary>Looks wrong and is not</summary><ul>"
        for title, steps, text in told.explained:
            yield f"<li><b>{escape(title)}</b> <span class=quiet>{escape(steps)}</span><br>{escape(text)}"
        yield "</ul></details>"
    if told.notes:
        yield "<details class=print open><summary>Notes</summary><ul>"
        yield from (f"<li>{escape(note)}" for note in told.notes)
        yield "</ul></details>"
