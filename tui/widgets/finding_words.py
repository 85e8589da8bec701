"""One finding in words: what it is, where it comes from, what to change, what was tried, what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import dedent

from rich.console import RenderableType
from rich.text import Text

from diagnostics.finding import Prescription, Safety
from diagnostics.report.digest import Digest, Number, Remedy, ToldCause, ToldFinding
from diagnostics.text import visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from tui import theme
from tui.widgets.about import Part, table

SECTIONS = {  # of a rule's page, and how they are called here
    "Meaning": "means",
    "Why it matters": "matters",
    "Look at": "look at",
    "What to change": "cure",
    "When this is wrong": "unless",
}
Page = Mapping[str, str]  # the sections of a rule's page, "" being the sentence above them


def sections(page: str) -> dict[str, str]:
    """The paragraphs of a rule's page under each of its headings, "" for what stands above them."""
    first, *rest = dedent(page).split("\n## ")
    told = {"": first} | {heading: text for heading, _, text in (part.partition("\n") for part in rest)}
    return {heading: " ".join(text.split()) for heading, text in told.items()}


def in_words(
    told: ToldFinding, digest: Digest, page: Page | None, study: StudyRecord | None, trial: TrialRecord | None
) -> RenderableType:
    """All that is known of a finding, the most urgent first; `page` is None where its rule is not known."""
    causes = [cause for cause in digest.causes if _explains(cause, told)]
    parts = [
        *_what(told),
        *_changes(told, causes, in_study=study is not None),
        *(_tried(study, trial, told) if study is not None and trial is not None else ()),
        *(part for cause in causes for part in _cause(cause)),
        *(("" if i else "numbers", _number(number)) for i, number in enumerate(told.numbers)),
        *_page(told, page),
    ]
    return table(parts)


def _explains(cause: ToldCause, told: ToldFinding) -> bool:
    return any(link.split(" ", 1)[0] == told.code for _, chain in cause.chains for link in chain.split(" -> "))


def _what(told: ToldFinding) -> Iterator[Part]:
    yield (
        "wrong",
        Text.assemble(
            (f" {told.severity.name} ", theme.SEVERITIES[told.severity]),
            (f" {told.code} {told.name}", "bold"),
            (f"  {told.when}", theme.FAINT),
        ),
    )
    yield "", Text(told.message)


def _number(number: Number) -> Text:
    return Text.assemble(
        number.metric,
        (f" ({number.logged} in the log)" if number.logged else "", theme.FAINT),
        (f"  {number.statistic} ", theme.FAINT),
        (number.value, "bold"),
        (f" (limit {number.limit}), {number.steps}", theme.FAINT),
    )


def _cause(cause: ToldCause) -> Iterator[Part]:
    yield "cause", Text.assemble((cause.title, "bold"), (f"  {cause.scope}", theme.FAINT))
    for lead, chain in cause.chains:
        yield "chain", Text.assemble((lead, theme.FAINT), chain.replace(" -> ", " → "))
    yield from (("for", Text(reason)) for reason in cause.speaks_for)
    yield from (("against", Text(reason)) for reason in cause.speaks_against)
    if cause.settle:
        yield "settle", Text(cause.settle, style=theme.FAINT)


def _changes(told: ToldFinding, causes: list[ToldCause], *, in_study: bool) -> Iterator[Part]:
    """What to change: as the cause says, else as the finding itself does."""
    remedies = [remedy for cause in causes for remedy in cause.remedies] if told.see else []
    for remedy in remedies or told.remedies:
        yield "change", _remedy(remedy)
        if remedy.prescription is not None:
            yield "who", Text(_who(remedy.prescription, in_study=in_study), style=theme.FAINT)
    if not remedies and not told.remedies:
        see = f"see {told.see}" if told.see else "no setting mends it"
        yield "change", Text(see, style=theme.FAINT)


def _remedy(remedy: Remedy) -> Text:
    return Text.assemble(
        (f"{remedy.lead}: ", theme.BEST),
        (remedy.what, "bold" if remedy.prescription else ""),
        f", because {remedy.because}" if remedy.because else "",
        (f"; {remedy.expect}" if remedy.expect else "", theme.FAINT),
    )


def _who(prescription: Prescription, *, in_study: bool) -> str:
    """Who may carry a change out."""
    match prescription.safety:
        case Safety.SAFE:
            return "anyone may: it never changes what is maximised"
        case Safety.UNSAFE if in_study:
            return "the tuner may try it, in a new trial"
        case Safety.UNSAFE:
            return "to be tried in a new run: it may change what is learned"
        case Safety.ADVICE:
            return "for a person to weigh: the tuner leaves it alone"


def _tried(study: StudyRecord, trial: TrialRecord, told: ToldFinding) -> Iterator[Part]:
    """What the tuner did about it, and whether that helped."""
    code = told.finding.code
    if any(
        d.kind == "trial_stopped" and d.trial == trial.number and d.data.get("code") == code for d in study.decisions
    ):
        yield "done", Text(f"trial {trial.number} was stopped because of it")
    answers = [t for t in study.trials if t.proposal.parent == trial.number and t.proposal.code == code]
    for other in answers:
        yield from _answer(study, other)
    if not answers:
        yield "tried", Text("nothing in response" if study.ended else "nothing in response yet", style=theme.FAINT)


def _answer(study: StudyRecord, other: TrialRecord) -> Iterator[Part]:
    yield "tried", Text(visible(f"trial {other.number} changed {words.change(study, other)}: {words.outcome(other)}"))
    if other.proposal.hypothesis is not None:
        yield "expected", Text(visible(words.hypothesis(other.proposal.hypothesis)))
    if other.verdict is None:
        going = other.state in (State.RUNNING, State.WAITING)
        yield "helped?", Text("not judged before the trial ends" if going else "not judged", style=theme.FAINT)
        return
    judgement = other.verdict.judgement
    why = (f": {visible(other.verdict.why)}", "")
    yield "helped?", Text.assemble((str(judgement).upper(), theme.JUDGEMENTS[judgement]), why)
    for compared in (other.verdict.mechanism, other.verdict.objective):
        if compared is not None:
            yield "", Text(visible(words.comparison(compared)))


def _page(told: ToldFinding, page: Page | None) -> Iterator[Part]:
    """What the rule's page says."""
    if page is None:
        yield "rule", Text(f"{told.code} is no rule that is known here", style=theme.FAINT)
        return
    yield "rule", Text(visible(page[""]))
    for heading, label in SECTIONS.items():
        if page.get(heading):
            yield label, Text(visible(page[heading]))
    yield "", Text(f"autotune rules {told.code} tells its thresholds and sources", style=theme.FAINT)
