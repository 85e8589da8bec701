"""The pages of the rules, from the docstrings that `autotune rules CODE` shows.

`python -m diagnostics.pages docs/rules` writes one for each rule and lint, and an index.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from diagnostics.rule import Catalogue, Lint, Rule, shipped

INDEX = "README.md"
FAMILIES = {  # by the letters of the code
    "CFG": "Configuration, before the run",
    "DIV": "Diversity of samples",
    "ENT": "Entropy",
    "GEN": "Held-out evaluation",
    "GRD": "Gradient",
    "KL": "Distance to the reference",
    "LEN": "Length of completions",
    "LOG": "The log itself",
    "NUM": "Numbers",
    "OFF": "Sampler and trainer",
    "RWD": "Reward",
    "UPD": "Policy update",
    "VAL": "Value function",
}
WRITTEN = "<!-- Written by `python -m diagnostics.pages docs/rules` from the rule's docstring: change that. -->"


def page(judge: Rule | Lint) -> str:
    """What is to be known of a rule, as Markdown: what it needs, its thresholds, then its docstring."""
    needs = [need if isinstance(need, str) else " or ".join(need) for need in judge.needs]
    facts = [
        f"- Highest severity: {_severity(judge)}",
        f"- {'Settings' if isinstance(judge, Lint) else 'Metrics'} it needs: {'; '.join(needs) or 'any'}",
    ]
    if judge.origin is not None:
        facts.append(f"- From: {judge.origin.where}")
    if judge.ignored and judge.tuning is not None:
        facts.append(f"- Left out by {judge.tuning.where}")
    thresholds = [f"  - `{name}` = {_value(judge, name)}" for name in judge.defaults]
    facts += ["- Thresholds:", *thresholds] if thresholds else ["- Thresholds: none"]
    sentence, _, sections = judge.page.partition("\n\n")
    return "\n".join([f"# {judge.code} {judge.name}", "", sentence, "", *facts, "", sections.strip(), ""])


def meaning(judge: Rule | Lint) -> str:
    """The first sentence of its page."""
    return " ".join(judge.page.partition("\n\n")[0].split())


def families(rules: Catalogue) -> Iterator[tuple[str, list[Rule | Lint]]]:
    """The rules by family, each with a title; families of others come last, under the letters of their codes."""
    by_letters: dict[str, list[Rule | Lint]] = {}
    for judge in rules.values():
        by_letters.setdefault(judge.code.rstrip("0123456789"), []).append(judge)
    for letters in sorted(by_letters, key=lambda letters: (letters not in FAMILIES, letters)):
        yield FAMILIES.get(letters, letters), by_letters[letters]


def index(rules: Catalogue) -> str:
    """All rules in tables, one for each family."""
    lines = [
        "# Rules",
        "",
        "What `autotune diagnose` looks for. The severity is the highest that the rule raises; `autotune rules CODE` "
        "shows a page in the terminal, with the thresholds of your project.",
    ]
    for title, judges in families(rules):
        lines += ["", f"## {title}", "", "| code | name | severity | what it says |", "|---|---|---|---|"]
        lines += [
            f"| [{judge.code}]({judge.code}.md) | {judge.name} | {judge.severity.name.lower()} | {meaning(judge)} |"
            for judge in judges
        ]
    return "\n".join([*lines, ""])


def write(folder: Path) -> None:
    """Write the pages of our rules, and remove those of rules that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{judge.code}.md": page(judge) for judge in shipped().values()} | {INDEX: index(shipped())}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (folder / name).write_text(f"{WRITTEN}\n\n{text}", encoding="utf-8")


def _severity(judge: Rule | Lint) -> str:
    own = judge.severity.name.lower()
    if judge.tuning is None or judge.highest is judge.severity:
        return own
    return f"{judge.highest.name.lower()}, as {judge.tuning.where} says ({own} by itself)"


def _value(judge: Rule | Lint, name: str) -> str:
    default = f"{judge.defaults[name]!r}"
    if judge.tuning is None or name not in judge.changed:
        return default
    return f"{judge.changed[name]!r}, as {judge.tuning.where} says ({default} by default)"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the page of every rule as Markdown.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
