"""From a finding to a study: its space and its start come from the settings of a run and from what was found in it."""

from __future__ import annotations

from autotune.from_run.ours import of_ours, told_to_do
from autotune.from_run.recorded import Recorded
from autotune.from_run.script import of_script, without_command
from autotune.from_run.started import FromRun
from autotune.from_run.values import Wishes
from studies.trial import TrialSpec


def study_from_run(run: Recorded, wishes: Wishes) -> FromRun:
    """The study that repairs `run`, with what a person wishes.

    UserError, in one line, where there is nothing to repair, or no knob that could; where the run does not tell what
    its knobs were; where it was trained by a script whose command nobody gave.
    """
    if wishes.command is not None:
        return of_script(run, wishes.command, wishes)
    own = told_to_do(run)
    if isinstance(own, TrialSpec):
        return of_ours(run, own, wishes)
    raise without_command(run, own, wishes)
