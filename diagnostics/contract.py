"""What a rule from elsewhere must keep to, so that a report can be relied on: the rule itself, and what it tells."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from diagnostics.finding import Finding, Severity, finding_from_json, finding_to_json
from diagnostics.metrics import is_metric, knobs, metrics, settings
from diagnostics.rule import HEADINGS, Lint, Rule

CODE = re.compile(r"[A-Z]{2,8}[0-9]{3}")


def broken(judge: Rule | Lint) -> str:
    """The first thing that is wrong with a rule, as what follows its name in a sentence; "" where nothing is."""
    return next(_faults(judge), "")


def unsound(finding: Finding) -> str:
    """What is wrong with what a rule tells; "" where nothing is."""
    try:
        written = json.dumps(finding_to_json(finding), allow_nan=False)
    except (AttributeError, TypeError, ValueError) as error:
        return f"it tells what cannot be written ({error}): use Python's own numbers and texts"
    if finding_from_json(json.loads(written)) != finding:
        return "it tells something of another type than Told and Evidence say"
    for prescription in finding.prescriptions:
        if prescription.knob not in knobs():
            return f"it prescribes {prescription.knob}, which is no knob"
        if not is_metric(prescription.hypothesis.metric):
            return f"its hypothesis is on {prescription.hypothesis.metric}, which is no metric"
    return ""


def _faults(judge: Rule | Lint) -> Iterator[str]:
    if not inspect.isfunction(judge.check):
        yield "is no function"
    if not isinstance(judge.code, str) or not CODE.fullmatch(judge.code):
        yield f"has the code {judge.code!r}: write capitals and three digits, such as ACME001"
    if not isinstance(judge.severity, Severity):
        yield f"has the severity {judge.severity!r}: write one of diagnostics.finding.Severity"
    headings = tuple(line[3:] for line in judge.page.splitlines() if line.startswith("## "))
    lacks = [f"## {heading}" for heading in HEADINGS if heading not in headings]
    if judge.page.startswith("## ") or not judge.page:
        lacks.insert(0, "a first sentence")
    if lacks or headings != HEADINGS:
        what = f"lacks {lacks[0]}" if lacks else "has its headings in another order"
        yield f"{what} in its docstring, which is its page: one sentence, then ## {', ## '.join(HEADINGS)}"
    if not judge.needs:
        yield "needs nothing: name in needs= what it cannot do without"
    if isinstance(judge, Rule):
        strange = [name for name in judge.metrics if name not in metrics() and not is_metric(name)]
        yield from _unknown(strange, "metric", metrics())
        for name, least in (("warmup", 0), ("lookback", 1), ("min_points", 1)):
            if not _is_whole(getattr(judge, name), least):
                yield f"has {name}={getattr(judge, name)!r}: it takes a whole number from {least} upwards"
    else:
        yield from _unknown([name for name in judge.needs if name not in settings()], "setting", settings())
    for name, value in judge.defaults.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            what = "no default" if value is inspect.Parameter.empty else f"the default {value!r}"
            yield f"has {what} for {name}: a threshold, as every keyword-only parameter, is a finite number"
    if not judge.fires or not judge.quiet:
        yield f"has no example under {'quiet' if judge.fires else 'fires'}="


def _unknown(names: Iterable[Any], kind: str, known: Iterable[str]) -> Iterator[str]:
    for name in names:
        near = difflib.get_close_matches(str(name), list(known), n=2, cutoff=0.5)
        yield f"asks for the {kind} {name}, which there is not" + (f": is {' or '.join(near)} meant?" if near else "")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
