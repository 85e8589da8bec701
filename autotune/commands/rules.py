"""`autotune rules`: all rules, or the page of one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.commands.diagnose import add_rules_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diagnostics.rule import Catalogue


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("rule", metavar="CODE", nargs="?", help="code or name of a rule, such as KL002 or kl_explosion")
    add_rules_option(parser)


def run(args: argparse.Namespace) -> ExitStatus:
    """Show the list, or the page of `args.rule`; UserError for one that does not exist, or fails its own examples."""
    from autotune.output import show
    from diagnostics.catalogue import here

    rules = here(args.rules)
    if args.rule is None:
        show(*_list(rules))
        return ExitStatus.CLEAN

    from rich.markdown import Markdown

    from diagnostics.choice import named
    from diagnostics.errors import UserError
    from diagnostics.examples import misjudged
    from diagnostics.pages import page

    judge = named(args.rule, rules)
    show(Markdown(page(judge)))
    if judge.origin is not None:  # the tests have seen to ours
        if wrong := next(misjudged(judge), ""):
            raise UserError(f"{judge.origin.where}: {judge.name} {wrong}", "Mend the rule or the example.")
        show(f"Examples: {len(judge.fires) + len(judge.quiet)}, and of each it says what is to be said.")
    return ExitStatus.CLEAN


def _list(rules: Catalogue) -> Iterator[RenderableType]:
    """Two lines for each rule: what it is called, and what it means."""
    from rich.padding import Padding
    from rich.text import Text

    from diagnostics.pages import families, meaning
    from diagnostics.report.styles import STYLES
    from diagnostics.text import visible

    for title, judges in families(rules):
        yield Text(title, "bold")
        for judge in judges:
            changed = f", {judge.tuning.where}" if judge.tuning is not None else ""
            severity = ("left out" if judge.ignored else judge.highest.name.lower()) + visible(changed)
            yield Text.assemble(f"  {judge.code}  {judge.name}  ", (severity, STYLES[judge.highest]))
            yield Padding(Text(visible(meaning(judge)), "dim"), (0, 0, 0, 2 + len(judge.code) + 2))
        yield Text()
