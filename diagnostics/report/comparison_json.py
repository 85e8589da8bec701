"""Comparisons as JSON for other programs. The shape is a contract: it changes only with `VERSION`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from diagnostics.comparison import Comparison
from diagnostics.differences import FindingChange, Judged, SettingChange
from diagnostics.finding import Json
from diagnostics.parting import Parting
from diagnostics.report.comparison_words import shown

VERSION = 1


def render(comparisons: Sequence[Comparison], names: Sequence[tuple[str, str]]) -> str:
    """All comparisons as one JSON document, in ASCII and without NaN; `names` are those of the sides of each."""
    document = {
        "version": VERSION,
        "comparisons": [comparison_to_json(one, sides) for one, sides in zip(comparisons, names, strict=True)],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def comparison_to_json(comparison: Comparison, names: tuple[str, str]) -> Json:
    """One comparison as plain JSON types. Positions are along `unit`; `error` is half of a 95 % interval."""
    return {
        "before": _side(comparison.before, names[0]),
        "after": _side(comparison.after, names[1]),
        "settings": {
            "changed": [_setting(change) for change in comparison.changed],
            "one_sided": [_setting(change) for change in comparison.one_sided],
            "others": [_setting(change) for change in comparison.others],
            "logged_by_all": comparison.told,
        },
        "findings": [_finding(change) for change in comparison.findings],
        "unit": comparison.unit,
        "metrics": [_metric(parting) for parting in (*comparison.apart(), *comparison.alike())],
        "same_numbers": comparison.doubles,
        "only_before": list(comparison.only[0]),
        "only_after": list(comparison.only[1]),
        "too_few_points": list(comparison.short),
        "not_finite": {
            metric: {"before_since": ends[0], "after_since": ends[1]} for metric, ends in comparison.broken.items()
        },
    }


def _side(side: Sequence[Judged], name: str) -> Json:
    return {"name": name, "runs": [_run(one) for one in side]}


def _run(one: Judged) -> Json:
    return {
        "source": one.run.source,
        "framework": one.run.framework,
        "steps": one.report.steps,
        "segment": one.run.segment,
    }


def _setting(change: SettingChange) -> Json:
    return {
        "setting": change.name,
        "name_before": change.spoken[0],
        "name_after": change.spoken[1],
        "before": [_value(value) for value in shown(change, change.before)],
        "after": [_value(value) for value in shown(change, change.after)],
    }


def _value(value: Any) -> Any:
    """JSON has no infinity: text, as in events."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _finding(change: FindingChange) -> Json:
    before, after = change.before, change.after
    return {
        "code": change.code,
        "name": change.name,
        "fate": str(change.fate),
        "before": None if before is None else before.name.lower(),
        "after": None if after is None else after.name.lower(),
        "runs_before": change.runs[0],
        "runs_after": change.runs[1],
        "why": change.why,
    }


def _metric(parting: Parting) -> Json:
    return {
        "metric": parting.metric,
        "parts_at": parting.at,
        "until": parting.until,
        "before": parting.before,
        "after": parting.after,
        "difference": parting.difference,
        "error": parting.error,
        "chance": parting.chance,
    }
