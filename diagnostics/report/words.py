"""How a report says things, the same in each of its formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from diagnostics.cause import OVERALL, Cause
from diagnostics.finding import Add, Finding, Prescription, Report, Scale, Set, Severity
from diagnostics.text import visible
from diagnostics.vocabulary import vocabulary

METRICS: Mapping[str, str] = {  # what makes sure of a cause, in plain words
    "completion_length_mean": "the mean length of the completions",
    "completion_length_terminated_mean": "the mean length of the completions that ended by themselves",
    "entropy.token": "the entropy",
    "eval_reward": "the reward on prompts that are not trained on",
    "eval_success_share": "the share of right answers on prompts that are not trained on",
    "grad_norm": "the norm of the gradient",
    "kl.reference.k3.token": "the KL to the reference",
    "kl.rollout.k3.token": "the KL to the policy that sampled",
    "return_var": "the variance of the returns",
    "sampler_logprob_diff_mean": "how far the log-probabilities of sampler and trainer differ",
    "unique_share": "the share of distinct completions in a group",
    "value_loss": "the value loss",
    "zero_std_share": "the share of groups that agree on the reward",
    "zero_std_share_ceiling": "the share of groups that agree on the highest reward",
}


def read_as(report: Report) -> str:
    """What the log was taken for: format, framework with the names that told it, how far it goes."""
    of_which = f"{report.segments} segments, of the last one the " if report.segments > 1 else ""
    steps = f"{of_which}last step {report.steps}" if report.steps >= 0 else "no metric at any step"
    return ", ".join(part for part in (report.format, report.recognised or report.framework, steps) if part)


def short(report: Report) -> str:
    """A line on the log, one on its first cause, and one for each finding."""
    found = amounts(f.severity for f in report.findings) or "no findings"
    name = f"{report.source}: " if report.source else ""
    first = [visible(f"{report.causes[0].title}: {told(report.causes[0], report)}")] if report.causes else []
    return "\n".join([visible(f"{name}{read_as(report)}; {found}"), *first, *map(line, report.findings)])


def line(finding: Finding) -> str:
    """A finding in one line."""
    segment = f" of segment {finding.segment}" if finding.segment > 1 else ""
    return visible(
        f"{finding.severity.name} {finding.code} {finding.name} at step {finding.raised_at}{segment}: {finding.message}"
    )


def told(cause: Cause, report: Report) -> str:
    """What became of a cause, in one line: its findings in the order of their onset, be it of a milder severity."""
    rising = [(r.code, r.first_step) for r in report.raised if r.segment == cause.segment]
    onsets = [
        (link.step if link.code in OVERALL else min([link.step, *(step for code, step in rising if code == link.code)]),
         link.code, link.name)
        for link in cause.chain
    ]  # fmt: skip
    return " -> ".join(f"{code} {name} at {step}" for step, code, name in sorted(onsets))


def to_log(unknown: Sequence[str]) -> str:
    """What is to be logged so that a cause is sure: settings as the framework calls them, metrics in plain words."""
    settings = [name for name in unknown if name not in METRICS]
    metrics = [f"{METRICS[name]} ({name})" for name in unknown if name in METRICS]
    plural = "are" if len(settings) > 1 else "is"
    parts = [f"what {_and(settings)} {plural} set to"] if settings else []
    return f"log {_and([*parts, *metrics])}"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def amounts(severities: Iterable[Severity]) -> str:
    """How many there are of each severity, the worst first."""
    counts = Counter(severities)
    return ", ".join(
        f"{counts[severity]} {severity.name.lower()}" for severity in reversed(Severity) if counts[severity]
    )


def spoken(knob: str, framework: str) -> str:
    """What users of `framework` call a knob; its canonical name where the framework has no vocabulary."""
    try:
        return vocabulary(framework).spoken(knob)
    except KeyError:
        return knob


def change(prescription: Prescription, knob: str) -> str:
    """What is to be done to `knob`."""
    match prescription.change:
        case Scale(factor) if 0 < factor < 1:
            return f"divide {knob} by {1 / factor:.4g}"
        case Scale(factor):
            return f"multiply {knob} by {factor:.4g}"
        case Set(value):
            return f"set {knob} to {value:.4g}"
        case Add(amount):
            return f"lower {knob} by {-amount:.4g}" if amount < 0 else f"raise {knob} by {amount:.4g}"


def steps(first: int, last: int) -> str:
    """`step 4`, `steps 4 to 9`."""
    return f"step {first}" if first == last else f"steps {first} to {last}"


def where(finding: Finding, report: Report) -> str:
    """Segment, onset and end."""
    segment = f"segment {finding.segment}, " if report.segments > 1 else ""
    at = "at " if finding.first_step == finding.last_step else ""
    return f"{segment}{at}{steps(finding.first_step, finding.last_step)}"


def when(finding: Finding, report: Report) -> str:
    """Segment, onset, end, and the step of each rise of severity."""
    *earlier, _ = rises(finding, report)
    if not earlier and finding.raised_at == finding.first_step == finding.last_step:
        return where(finding, report)
    known = [f"{r.severity.name.lower()} at {r.raised_at}" for r in earlier] + [f"raised at {finding.raised_at}"]
    return f"{where(replace(finding, first_step=onset(finding, report)), report)}, {', '.join(known)}"


def onset(finding: Finding, report: Report) -> int:
    """The first step of a finding, also as long as it was less severe."""
    return min(rise.first_step for rise in rises(finding, report))


def rises(finding: Finding, report: Report) -> list[Finding]:
    """Each rise of severity of a finding, itself the last."""
    mine = (r for r in report.raised if (r.code, r.segment) == (finding.code, finding.segment))
    return [*(r for r in mine if r.severity < finding.severity), finding]
