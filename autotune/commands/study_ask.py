"""What can be asked of a study that runs elsewhere: `autotune study stop`, `pause`, `accept`, `try`, `note`, ..."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autotune.cli import ExitStatus
from autotune.folders import RUNS, latest, study_argument
from diagnostics.errors import UserError
from diagnostics.text import visible

if TYPE_CHECKING:
    from studies.requests import Action
    from studies.trial import Knob

# What the loop may take to answer: it looks ten times a second, but may be about to judge a trial, or to ask a sampler.
ANSWER_SECONDS, LOOK_SECONDS = 10.0, 0.05


def configure(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these actions and their arguments."""

    def add(name: str, does: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        parser.set_defaults(action=_ask, ask=name)
        return parser

    stop = add("stop", "end a running study, or one trial of it, after its step")
    study_argument(stop)
    which = stop.add_mutually_exclusive_group()
    which.add_argument("--trial", type=int, metavar="N", help="end this trial only")
    which.add_argument("--after-trial", action="store_true", help="begin no new trial, and let those that run end")

    for name, does, what in (
        ("pause", "let a trial stand still after its step", "this one (default: all that run)"),
        ("continue", "let a paused trial go on", "this one (default: all that are paused)"),
        ("accept", "begin the trial that was proposed and waits", "this one, where several wait"),
        ("refuse", "never run the trial that was proposed and waits", "this one, where several wait"),
    ):
        one = add(name, does)
        study_argument(one)
        one.add_argument("--trial", type=int, metavar="N", help=what)
        if name == "refuse":
            one.add_argument("--because", default="", metavar="TEXT", help="why, for the record")

    review = add("review", "let every proposal wait to be accepted or refused, or no more")
    review.add_argument("wait", choices=["on", "off"], help="off: those that wait begin")
    study_argument(review)

    own = add("try", "run settings of your own as the next trial")
    own.add_argument("what", nargs="+", metavar="KNOB=VALUE", help="what to change; and the folder of the study")
    own.add_argument("--from-trial", dest="trial", type=int, metavar="N", help="of these settings (default: the best)")
    own.add_argument("--because", default="", metavar="TEXT", help="why, for the record")

    note = add("note", "write something down of a study, running or not, or of one trial")
    note.add_argument("text", help="what to write down")
    study_argument(note)
    note.add_argument("--trial", type=int, metavar="N", help="of this trial")


def _ask(args: argparse.Namespace) -> ExitStatus:
    """Leave the request, and say what the study answers."""
    from studies.log import is_running, is_study

    knobs: dict[str, Knob] = {}
    if args.ask == "try":
        knobs, args.study = _knobs(args.what)
    directory = args.study or latest(RUNS)
    if not is_study(directory):
        raise UserError(f"{directory} is no study", "See `autotune study list`.")
    if is_running(directory):
        return _answered(directory, _action(args), args, knobs)
    if args.ask == "note":
        return _note(directory, args)
    raise UserError(f"no process runs the study in {directory}", f"Go on with: autotune study resume {directory}")


def _action(args: argparse.Namespace) -> Action:
    from studies.requests import Action

    match args.ask:
        case "stop" if args.after_trial:
            return Action.STOP_AFTER
        case "stop":
            return Action.STOP_STUDY if args.trial is None else Action.STOP_TRIAL
        case "review":
            return Action.REVIEW_ON if args.wait == "on" else Action.REVIEW_OFF
        case name:
            return Action(name)


def _knobs(words: list[str]) -> tuple[dict[str, Knob], Path | None]:
    """The changes among `words`, and the one that is none: the folder of the study."""
    from studies.space import typed

    changes, folders = {}, []
    for word in words:
        knob, equals, value = word.partition("=")
        if equals and knob:
            changes[knob] = typed(value)
        else:
            folders.append(Path(word))
    if len(folders) > 1:
        raise UserError(f"{folders[1]} is not knob=value", "Write for example learning_rate=1e-4.")
    if not changes:
        raise UserError("no change is named", "Write for example learning_rate=1e-4.")
    return changes, folders[0] if folders else None


def _answered(directory: Path, action: Action, args: argparse.Namespace, knobs: Mapping[str, Knob]) -> ExitStatus:
    """Ask, and say the answer. UserError where the study says that it cannot be done."""
    from studies import words
    from studies.log import STUDY_FILE
    from studies.requests import ask

    trial = getattr(args, "trial", None)
    text = getattr(args, "because", "") or getattr(args, "text", "")
    with (directory / STUDY_FILE).open("rb") as record:
        record.seek(0, os.SEEK_END)  # the answer comes after what is there
        request = ask(directory, action, trial=trial, knobs=knobs, text=text)
        print(visible(f"{directory}: {words.asked(action, trial)}"), flush=True)
        answer = _wait_for_answer(record, request.id)
    if answer is None:
        print(visible(f"no answer yet: it will stand in {directory / STUDY_FILE} and in the study's journal.md"))
    elif not answer["done"]:
        raise UserError(answer["answer"])
    else:
        print(visible(answer["answer"]))
    return ExitStatus.CLEAN


def _wait_for_answer(record: IO[bytes], request: str) -> dict[str, Any] | None:
    """The line of `study.jsonl` that answers the request, None where there is none for so long."""
    deadline, rest = time.monotonic() + ANSWER_SECONDS, b""
    while time.monotonic() < deadline:
        *lines, rest = (rest + record.read()).split(b"\n")
        for line in map(json.loads, lines):
            if line.get("request") == request and line["type"] == "request_answered":
                answer: dict[str, Any] = line
                return answer
        time.sleep(LOOK_SECONDS)
    return None


def _note(directory: Path, args: argparse.Namespace) -> ExitStatus:
    """Write a note of a study that no process runs: under the lock of its one writer, so that there never are two."""
    from autotune import journal
    from studies.log import StudyLog, read
    from studies.requests import LONGEST, person, well_formed

    text = well_formed(args.text.strip())
    if not text or len(text) > LONGEST:
        raise UserError(f"the note has {len(text):,} characters", f"Give some, and {LONGEST:,} at most.")
    log = StudyLog(directory)
    try:
        if args.trial is not None and read(directory).trial(args.trial) is None:
            raise UserError(f"there is no trial {args.trial}")
        log.noted(text, trial=args.trial, by=person())
        journal.write(read(directory))
    finally:
        log.close()
    print(visible(f"{directory}: noted: {text}"))
    return ExitStatus.CLEAN
