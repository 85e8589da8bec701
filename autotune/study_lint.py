"""What a study, or one trial of ours, tells before it starts: where it starts, and at the corners of its space."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autotune.preflight import corners
from diagnostics.configs import command, files, words
from diagnostics.configs.config import NoConfig
from diagnostics.configs.known import Known
from diagnostics.configs.linting import REFUSED, Linted, Placed, lint, objected_by, ordered
from diagnostics.errors import UserError
from diagnostics.finding import Severity, Skip
from diagnostics.rule import Catalogue, Lint, all_lints
from studies import spec, trial
from studies.command import CommandSpec
from studies.spec import StudySpec
from studies.trial import Knob, TrialSpec
from studies.words import knobs as told
from trainers import preflight

_TRIAL = {"v", "algorithm", "knobs"}  # in the config.json of a trial of ours


def is_trial(text: str) -> bool:
    """Whether JSON is the `config.json` of one of our trials."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.keys() >= _TRIAL


def of_trial(text: str, source: str, rules: Catalogue) -> Linted:
    """What the `config.json` of a trial tells; NoConfig where it is of another version, or broken."""
    try:
        one = trial.from_json(json.loads(text), source)
    except UserError as error:
        raise NoConfig(f"is no trial: {error.message}") from None
    return _linted(source, "the config.json of a trial", one, one.knobs, rules, text)


def of_study(source: str, rules: Catalogue) -> Linted:
    """What a preset, or the TOML file of a study, tells; NoConfig where it is none, UserError where it is broken."""
    text = files.text_of(Path(source)) if source.endswith(".toml") else ""
    if source.endswith(".toml") and not re.search(r"^\[(space|start)\]", text, re.MULTILINE):
        raise NoConfig("is TOML, and no study")
    study = spec.load(source)
    kind = "a study" if text else "a preset"
    start = _linted(source, kind, study.trial, study.start, rules, text)
    return replace(start, findings=ordered([*start.findings, *_of_space(study, start, rules)]))


def _of_space(study: StudySpec, start: Linted, rules: Catalogue) -> list[Placed]:
    """What the space holds beyond the start: what cannot be trained is as bad there, all else only worth knowing."""
    known = {placed.finding.code for placed in start.findings if placed.finding.severity < Severity.ERROR}
    said = {placed.finding.message for placed in start.findings}
    refused: dict[str, Placed] = {}
    for knobs in corners(study):
        apart = {knob: value for knob, value in knobs.items() if value != study.start[knob]}
        for placed in _judged(study.trial, knobs, rules) if apart else ():
            finding = placed.finding
            serious = finding.severity >= Severity.ERROR
            key = finding.code + (finding.message if serious else "")
            if key in refused or finding.code in known or finding.message in said:
                continue
            message = f"the space has {told(apart)}: {finding.message}"
            advice = ("Take it out of the space: give choices, or other ends.",) if serious else finding.advice
            severity = finding.severity if serious else Severity.INFO
            refused[key] = replace(
                placed, finding=replace(finding, severity=severity, message=message, advice=advice, prescriptions=())
            )
    return list(refused.values())


def _linted(
    source: str,
    kind: str,
    one: TrialSpec | CommandSpec,
    knobs: Mapping[str, Knob],
    rules: Catalogue,
    text: str,
) -> Linted:
    settings = {knob: Known(value, knob, _line(text, knob)) for knob, value in knobs.items()}
    if isinstance(one, CommandSpec):
        return replace(_of_command(one, knobs, rules), source=source, recognised=f"{kind} of a command")
    for name in ("batch_size", "max_completion_length"):
        settings.setdefault(name, Known(getattr(one, name), name, _line(text, name)))
    settings["group_baseline"] = Known(one.algorithm == "grpo", "algorithm", _line(text, "algorithm"))
    settings["peft"] = Known(one.lora_rank is not None, "lora_rank", _line(text, "lora_rank"))
    lints = [judge for judge in rules.values() if isinstance(judge, Lint) and not judge.ignored]
    values = {name: known.value for name, known in settings.items()}
    placed = [
        replace(p, rests_on=tuple(settings[e.metric] for e in p.finding.evidence if e.metric in settings))
        for p in _judged(one, knobs, rules)
    ]
    found = {p.finding.code for p in placed}
    skips = [
        Skip(j.code, j.missing(values)) for j in lints if not j.ahead and j.missing(values) and j.code not in found
    ]
    framework = preflight.FRAMEWORKS[one.algorithm]
    return Linted(
        source, 0, framework, "autotune", f"{kind} of {one.algorithm.upper()}", ordered(placed), tuple(skips),
        len(lints), len(settings), settings,
    )  # fmt: skip


def _judged(one: TrialSpec | CommandSpec, knobs: Mapping[str, Knob], rules: Catalogue) -> list[Placed]:
    """What is wrong with a trial at these knobs."""
    if isinstance(one, CommandSpec):
        return list(_of_command(one, knobs, rules).findings)
    try:
        found = preflight.check(replace(one, knobs={**one.knobs, **knobs}))
    except UserError as error:
        return _refused(error, rules)
    return [Placed(finding) for finding in found if finding.code in rules]


def _refused(error: UserError, rules: Catalogue) -> list[Placed]:
    """A refusal, under the code of the rule that it names where it names one."""
    refused = rules.get(REFUSED)
    match = re.fullmatch(r"([A-Z]+\d+) (\w+): (.*)", error.message, re.DOTALL)
    if match is not None and match[1] in rules:
        named = rules[match[1]]
        return [
            Placed(replace(f, code=named.code, name=named.name, severity=named.highest))
            for f in objected_by(all_lints()[REFUSED], match[3], error.hint)
        ]
    return [Placed(f) for f in objected_by(refused, error.message, error.hint)] if isinstance(refused, Lint) else []


def _of_command(one: CommandSpec, knobs: Mapping[str, Knob], rules: Catalogue) -> Linted:
    arguments = replace(one, knobs=dict(knobs)).arguments(Path(), 1)
    config = command.read(words.of(arguments), one.command, (Path(one.folder),) if one.folder else ())
    if config is None:
        raise NoConfig("is a study of a command that starts no training that is known")
    return lint(config, rules)


def _line(text: str, name: str) -> int:
    """The line that begins with `name`: where there are two, of a knob's space and its start, the second."""
    lines = [i for i, line in enumerate(text.split("\n"), 1) if re.match(rf'\s*"?{re.escape(name)}"?\s*[=:]', line)]
    return lines[-1] if 0 < len(lines) <= 2 else 0
