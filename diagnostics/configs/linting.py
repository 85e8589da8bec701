"""What the rules say of a configuration, each finding with the settings that it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostics.configs.config import Config, Given, NoConfig
from diagnostics.configs.derived import whole_groups
from diagnostics.configs.known import Known
from diagnostics.configs.meaning import Understood, understand
from diagnostics.configs.objection import Objection
from diagnostics.configs.objections import are_known, objections
from diagnostics.finding import Finding, Severity, Skip
from diagnostics.judging import Judges, linted
from diagnostics.rule import Catalogue, Lint, shipped
from diagnostics.series import RunHistory

REFUSED, OVERLOOKED = "CFG011", "CFG012"
GROUPS = "CFG001"


@dataclass(frozen=True, slots=True)
class Placed:
    """A finding, and what it rests on, the setting to look at first."""

    finding: Finding
    rests_on: tuple[Known, ...] = ()

    @property
    def line(self) -> int:
        """The line of the first of these that the configuration itself gives, 0 where it gives none."""
        return next((known.line for known in self.rests_on if known.line and not known.file), 0)


@dataclass(frozen=True, slots=True)
class Linted:
    """What is known of one configuration before its run.

    `called` is what people call the framework, `recognised` says what the configuration was taken for, `given` how many
    of its settings are understood. `settings` are canonical, `unknown` are given with values that cannot be known, and
    `open` says why others may be given, too. `meant` are the names that any rule looks at.
    """

    source: str
    line: int
    framework: str
    called: str
    recognised: str
    findings: tuple[Placed, ...]
    skips: tuple[Skip, ...]
    rules: int
    given: int = 0
    settings: Mapping[str, Known] = field(default_factory=dict)
    unknown: Mapping[str, Given] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    meant: frozenset[str] = frozenset()

    def loud(self) -> bool:
        """Whether anything is wrong with it, beyond what is only worth knowing."""
        return (self.worst() or Severity.INFO) > Severity.INFO

    def worst(self) -> Severity | None:
        """The highest severity found, None where nothing is."""
        return max((placed.finding.severity for placed in self.findings), default=None)


def lint(config: Config, rules: Catalogue | None = None) -> Linted:
    """What the rules on settings say of `config`; NoConfig where none of its settings is understood."""
    meant = understand(config)
    catalogue = shipped() if rules is None else rules
    lints = [judge for judge in catalogue.values() if isinstance(judge, Lint)]
    asked = [judge for judge in lints if not judge.ignored]
    run = RunHistory({}, settings={name: known.value for name, known in meant.settings.items()}, source=config.source)
    objected = list(_objected(asked, meant))
    found, skips = linted(run, [judge for judge in asked if judge.code not in (REFUSED, OVERLOOKED)])
    if not are_known(meant.framework):
        reason = f"nobody has read what {meant.called} has against settings"
        skips += [Skip(judge.code, reason) for judge in asked if judge.code in (REFUSED, OVERLOOKED)]
    if not meant.given:
        raise NoConfig("gives no setting that is understood")
    placed = [*objected, *(_placed(finding, catalogue, meant) for finding in found)]
    skips += [
        Skip(judge.code, f"left out by {judge.tuning.where}") for judge in lints if judge.tuning and judge.ignored
    ]
    return Linted(
        config.source,
        config.line,
        meant.framework,
        meant.called,
        " ".join(filter(None, (f"{config.kind}, read as {meant.framework}", meant.recognised))),
        ordered(placed),
        tuple(sorted(skips, key=lambda skip: skip.code)),
        len(lints),
        meant.given,
        meant.settings,
        meant.unknown,
        config.open,
        meant.unmapped,
        (*meant.notes, *Judges.of(rules).notes),
        meant.names | meant.raw.used,
    )


def ordered(placed: Iterable[Placed]) -> tuple[Placed, ...]:
    """The worst first, and of these the first in the file."""
    return tuple(sorted(placed, key=lambda one: (-one.finding.severity, one.line or 1 << 30, one.finding.code)))


def _objected(asked: Iterable[Lint], meant: Understood) -> Iterator[Placed]:
    by_code = {judge.code: judge for judge in asked}
    for objection in [*objections(meant.framework, meant.raw), *_lost(meant.config)]:
        judge = by_code.get(REFUSED if objection.refused else OVERLOOKED)
        if judge is not None:
            yield from (
                Placed(f, _named(objection, meant)) for f in objected_by(judge, objection.what, objection.remedy)
            )


def _lost(config: Config) -> Iterator[Objection]:
    if config.lost:
        yield Objection(
            f"what stands from line {config.lost} on is cut off from the command of line {config.line}: the shell "
            "takes it for a command of its own",
            f"take out the comment or the empty line above line {config.lost}, or end the line above with a backslash",
            (),
            refused=False,
        )


def objected_by(judge: Lint, what: str, remedy: str) -> list[Finding]:
    """An objection as a finding of the rule that is for it."""
    of = "refusal" if "refusal" in judge.needs else "oversight"
    return linted(RunHistory({}, settings={of: what, "remedy": remedy}), [judge])[0]


def _named(objection: Objection, meant: Understood) -> tuple[Known, ...]:
    raw = meant.raw
    return tuple(
        Known(raw.get(name), name, raw.place(name).line, raw.default(name), file=raw.place(name).file)
        for name in objection.names
        if raw.get(name) is not None
    )


def _placed(finding: Finding, catalogue: Catalogue, meant: Understood) -> Placed:
    judge = catalogue[finding.code]
    asked: list[Any] = [evidence.metric for evidence in finding.evidence]
    asked += [prescription.knob for prescription in finding.prescriptions]
    asked += [need for need in judge.needs if isinstance(need, str)]
    names = dict.fromkeys(name for name in asked if name in meant.settings)
    groups = whole_groups(meant.raw) if finding.code == GROUPS else ""
    if groups:  # TRL's batch is a product of settings, and a multiple of what all processes take at a time
        finding = replace(finding, message=finding.message.partition(";")[0], prescriptions=(), advice=(groups,))
    return Placed(finding, tuple(meant.settings[name] for name in names))
