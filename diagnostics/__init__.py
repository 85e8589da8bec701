"""What is wrong with a run of reinforcement learning, and what to change.

    import diagnostics

    diagnostics.diagnose("outputs/trainer_state.json")

Importing this imports nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diagnostics.finding import Report

__all__ = ["diagnose"]


def diagnose(
    log: Any,
    *,
    map: Mapping[str, str] | str | Path | None = None,
    only: str | Iterable[str] = (),
    ignore: str | Iterable[str] = (),
    run: str | None = None,
    rules: str | Path | Iterable[str | Path] = (),
) -> Report:
    """The report on one run, which shows itself in a notebook.

    `log` is the path of a log, in any format that `autotune diagnose` reads; the name of a run on a server, such as
    `team/project/1a2b3c4d` on wandb's; or what was logged: a pandas or polars DataFrame with a row for each step, a
    list of dicts such as `trainer.state.log_history`, or a dict of lists by name. `map` says what names mean,
    `{"avg_return": "reward_mean"}` or the path of a TOML file. `only` and `ignore` are codes of rules. Where there are
    several runs, `run` says which. `rules` are Python files with rules of your own, which are run. What the project of
    the current folder says of rules counts, as for `autotune diagnose`.

    UserError, with what to do about it, where the log cannot be read, holds several runs, or an argument is wrong.
    """
    from diagnostics.notebook import diagnosed

    return diagnosed(log, map=map, only=only, ignore=ignore, run=run, rules=rules)
