"""Which rules a person wants to hear of. What is left out is said in the report, with what it found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from diagnostics.cause import Cause
from diagnostics.errors import UserError
from diagnostics.finding import Report, Skip
from diagnostics.rule import Catalogue, Lint, Rule, shipped

LEFT_OUT = "left out as asked"  # how the reasons of such skips begin


@dataclass(frozen=True, slots=True)
class Choice:
    """The codes of the rules that are left out."""

    left_out: frozenset[str]

    def of(self, report: Report) -> Report:
        """`report` without what is left out, each such rule among its skips."""
        skips = [skip for skip in report.skips if skip.code not in self.left_out]
        skips += [Skip(code, _reason(report, code)) for code in self.left_out]
        return replace(
            report,
            findings=tuple(f for f in report.findings if f.code not in self.left_out),
            raised=tuple(f for f in report.raised if f.code not in self.left_out),
            skips=tuple(sorted(skips, key=lambda skip: skip.code)),
            excerpts=tuple(e for e in report.excerpts if e.code not in self.left_out),
            causes=tuple(cause for cause in map(self._of, report.causes) if cause.chain),
        )

    def _of(self, cause: Cause) -> Cause:
        return replace(cause, chain=tuple(link for link in cause.chain if link.code not in self.left_out))


def choice(only: Iterable[str], ignore: Iterable[str], rules: Catalogue | None = None) -> Choice | None:
    """The choice of codes or names, each text one or several with commas between; None where nothing is left out.

    UserError for a rule that does not exist.
    """
    known = shipped() if rules is None else rules
    wanted, unwanted = _codes(only, known), _codes(ignore, known)
    of_runs = {code for code, judge in known.items() if not (isinstance(judge, Lint) and judge.ahead)}
    left_out = (of_runs - wanted if wanted else set()) | (unwanted & of_runs)
    return Choice(frozenset(left_out)) if left_out else None


def named(wanted: str, rules: Catalogue) -> Rule | Lint:
    """The rule of `rules` with this code or name, whatever its case; UserError for one that does not exist."""
    by_spelling = {spelling.lower(): rule for rule in rules.values() for spelling in (rule.code, rule.name)}
    if wanted.lower() in by_spelling:
        return by_spelling[wanted.lower()]
    near = difflib.get_close_matches(wanted.lower(), by_spelling, n=1)
    hint = f"Did you mean {by_spelling[near[0]].code} {by_spelling[near[0]].name}? " if near else ""
    raise UserError(f"there is no rule {wanted}", f"{hint}See autotune rules for all of them.")


def _codes(texts: Iterable[str], known: Catalogue) -> set[str]:
    return {named(part.strip(), known).code for text in texts for part in text.split(",") if part.strip()}


def _reason(report: Report, code: str) -> str:
    found = [f for f in report.findings if f.code == code]
    if not found:
        return LEFT_OUT
    worst = max(found, key=lambda f: f.severity)
    return f"{LEFT_OUT}, though it found: {worst.severity.name.lower()} at step {worst.raised_at}"
