"""`autotune rules`: all rules, or the page of one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus

if TYPE_CHECKING:
    from rich.table import Table

    from diagnostics.rule import Lint, Rule


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("rule", metavar="CODE", nargs="?", help="code or name of a rule, such as KL002 or kl_explosion")


def run(args: argparse.Namespace) -> ExitStatus:
    """Show the table, or the page of `args.rule`; UserError for a rule that does not exist."""
    from autotune.output import show
    from diagnostics.choice import named
    from diagnostics.rule import all_lints, all_rules

    rules: list[Rule | Lint] = [*all_rules().values(), *all_lints().values()]
    if args.rule is None:
        show(_table(rules))
        return ExitStatus.CLEAN

    from rich.markdown import Markdown

    show(Markdown(page(named(args.rule))))
    return ExitStatus.CLEAN


def page(rule: Rule | Lint) -> str:
    """The rule's page as Markdown: its docstring, what it needs, and its thresholds."""
    needs = [need if isinstance(need, str) else " or ".join(need) for need in rule.needs]
    thresholds = [f"- `{name}` = {value!r}" for name, value in rule.thresholds.items()]
    return "\n".join(
        [
            f"# {rule.code} {rule.name} ({rule.severity.name.lower()})",
            rule.page,
            "",
            "## Needs",
            *(f"- {need}" for need in needs or ["nothing beyond a run"]),
            "",
            "## Thresholds",
            *(thresholds or ["- none"]),
        ]
    )


def _table(rules: list[Rule | Lint]) -> Table:
    from rich.table import Table

    table = Table("code", "name", "severity", "what it says", box=None, pad_edge=False, header_style="bold")
    for rule in rules:
        table.add_row(rule.code, rule.name, rule.severity.name.lower(), rule.page.partition("\n")[0])
    return table
