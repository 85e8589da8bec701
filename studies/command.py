"""Anyone's script as what a study trains: a command with placeholders for the knobs, and where it logs."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar

from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.metrics import knobs as canonical_knobs
from studies.space import Space, middle, parse_knob, space_from_text
from studies.trial import CONFIG_FILE, Knob

if TYPE_CHECKING:
    from studies.spec import StudySpec

VERSION = 1
RESERVED = ("seed", "dir", "attempt")  # placeholders that are no knobs
STALL_MINUTES = 30.0  # longer than models load and compile; a night has room for it
TRIALS = 8
_BRACES = "Write {{ and }} for braces that stay."


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One run of a command, in whose arguments `{knob}`, `{seed}`, `{dir}` and `{attempt}` stand for their values.

    It is split as a shell would and run without one, in `folder`. `dir` is the folder of the trial, in which its log is
    looked for; `log` says where it is otherwise: relative to `dir`, with placeholders of its own. `{{` and `}}` are
    braces. `objective` is the metric that it must log, canonical or as the script calls it. One that writes nothing for
    `stall_minutes` hangs.
    """

    command: str
    objective: str
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    seed: int = 0
    folder: str = ""  # absolute; empty is the current one
    log: str | None = None
    stall_minutes: float = STALL_MINUTES
    stop_on: Severity | None = Severity.FATAL
    completions: ClassVar[int] = 0  # what a run costs is the command's own affair

    def __post_init__(self) -> None:
        if not isinstance(self.command, str) or not isinstance(self.objective, str) or not self.objective:
            raise UserError("a command needs an objective", "Say which metric to maximise, as the script logs it.")
        if isinstance(self.stall_minutes, bool) or not isinstance(self.stall_minutes, int | float):
            raise UserError(f"stall_minutes is {self.stall_minutes!r}", "It takes a number of minutes.")
        if not 0 < self.stall_minutes < math.inf:
            raise UserError(f"stall_minutes is {self.stall_minutes:g}", "It takes a number above 0.")
        if not self.words():
            raise UserError(
                "the command is empty", "Write for example --command 'python train.py --lr {lr} --out {dir}'."
            )

    def words(self) -> list[str]:
        """Program and arguments, with their placeholders. UserError where a quote is not closed."""
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise UserError(f"the command {self.command!r} cannot be split: {error}", "Close the quotes.") from None

    def placeholders(self) -> set[str]:
        """The names in braces, of the command and of the log. UserError where a brace is not closed."""
        return {name for word in (*self.words(), self.log or "") for name in _placeholders(word)}

    def arguments(self, directory: Path, attempt: int) -> list[str]:
        """What to run, filled in for a trial in `directory`."""
        return [self._filled(word, directory, attempt) for word in self.words()]

    def log_path(self, directory: Path, attempt: int) -> Path | None:
        """Where the script logs, None where that is to be found out."""
        return directory.absolute() / self._filled(self.log, directory, attempt) if self.log else None

    def shares_its_log(self) -> bool:
        """Whether all trials log to the same file."""
        return self.log is not None and Path(self.log).is_absolute() and not _placeholders(self.log)

    def _filled(self, word: str, directory: Path, attempt: int) -> str:
        values = {**self.knobs, "seed": self.seed, "dir": directory.absolute(), "attempt": attempt}
        return "".join(text + (str(values[name]) if name is not None else "") for text, name in _parts(word))


def _parts(word: str) -> list[tuple[str, str | None]]:
    """Literal texts, each with the placeholder after it."""
    try:
        parts = list(Formatter().parse(word))
    except ValueError:
        raise UserError(f"the braces of {word!r} do not match", _BRACES) from None
    if any(form or conversion or name == "" for _, name, form, conversion in parts):
        raise UserError(f"{word!r} has braces that are no placeholder", _BRACES)
    return [(text, name) for text, name, _, _ in parts]


def renamed(template: str, name: Callable[[str], str]) -> str:
    """`template` with other names for its placeholders. UserError where a brace is not closed."""

    def written(text: str, placeholder: str | None) -> str:
        literal = text.replace("{", "{{").replace("}", "}}")
        return literal if placeholder is None else f"{literal}{{{name(placeholder)}}}"

    return "".join(written(text, placeholder) for text, placeholder in _parts(template))


def _placeholders(word: str) -> set[str]:
    return {name for _, name in _parts(word) if name is not None}


def study_from_command(
    command: str,
    *,
    space: Sequence[str],
    objective: str | None,
    start: Sequence[str] = (),
    log: str | None = None,
    name: str = "",
    stall_minutes: float = STALL_MINUTES,
) -> StudySpec:
    """The study that a person describes on the command line: `space` and `start` are texts such as `lr=1e-6..1e-3:log`.

    A knob without a start begins in the middle of its space. UserError for whatever could not run: a placeholder that
    is no knob, a knob without a placeholder, a program that is not there.
    """
    from studies.spec import StudySpec

    if not space:
        raise UserError("--command needs a --space", "Say what may change: --space learning_rate=1e-6..1e-3:log.")
    if not objective:
        raise UserError("--command needs an --objective", "Say which metric to maximise, as the script logs it.")
    spaces: dict[str, Space] = {}
    for text in space:
        knob, place = space_from_text(text, "--space")
        if knob in spaces:
            raise UserError(f"--space: {knob} is given twice", "Give one space for each knob.")
        spaces[knob] = place
    starts = {knob: middle(place) for knob, place in spaces.items()}
    starts |= dict(parse_knob(text, spaces, "--start") for text in start)
    trial = CommandSpec(command, objective, folder=str(Path.cwd()), log=log, stall_minutes=stall_minutes)
    check(trial, spaces, "--command")
    check_program(replace(trial, knobs=starts), "--command")
    return StudySpec(name or _name(trial.words()), "", TRIALS, 0, objective, trial, spaces, starts)


def check(trial: CommandSpec, space: Mapping[str, Space], where: str) -> None:
    """UserError where a knob of `space` would change nothing, or a placeholder has no value."""
    used = {name for word in trial.words() for name in _placeholders(word)}
    for knob in space:
        if knob in RESERVED:
            raise UserError(f"{where}: {knob} is no knob", f"{{{knob}}} is filled in for each trial.")
        if knob not in used:
            raise UserError(f"{where} does not use the knob {knob}", f"Write {{{knob}}} where its value belongs.")
    known = (*dict.fromkeys((*space, *trial.knobs)), *RESERVED)
    for name in sorted(trial.placeholders() - set(known)):
        near = get_close_matches(name, known, n=1)
        meant = f"Did you mean {{{near[0]}}}? " if near else ""
        raise UserError(f"{where}: there is no knob for {{{name}}}", f"{meant}There are {', '.join(known)}. {_BRACES}")


def check_program(trial: CommandSpec, where: str) -> None:
    """UserError where the program of a trial is not found, as the operating system would find it in its folder."""
    if trial.folder and not Path(trial.folder).is_dir():
        raise UserError(f"{where}: there is no folder {trial.folder} to run the command in", "Make it, or start anew.")
    if "dir" in _placeholders(trial.words()[0]):
        return  # it is of the trial's folder, which may not be there yet
    program = trial.arguments(Path(), 1)[0]
    if shutil.which(str(Path(trial.folder) / program) if os.sep in program else program) is None:
        raise UserError(f"{where}: there is no program {program}", "Check the spelling, or give its full path.")


def notes(spec: StudySpec, *, recorded: bool = False) -> tuple[str, ...]:
    """What a person should know of a study of a command before it starts, in a sentence each.

    One that starts from a `recorded` run starts where that did.
    """
    trial = spec.trial
    if not isinstance(trial, CommandSpec):
        return ()
    said = ["the command runs without a shell: for pipes and variables, write sh -c '...'"]
    said += [
        f"{knob} starts at {spec.start[knob]:.3g}, the middle of its space"
        for knob, place in spec.space.items()
        if not recorded and isinstance(spec.start[knob], float) and spec.start[knob] == middle(place)
    ]
    own = [knob for knob in spec.space if knob not in canonical_knobs()]
    if own:
        said.append(
            f"no finding prescribes a change of {', '.join(own)}: findings know {', '.join(canonical_knobs()[:5])} "
            "and other canonical names; the sampler searches the rest"
        )
    if "seed" not in trial.placeholders():
        said.append("the command does not use {seed}: AUTOTUNE_SEED in its environment holds another for each trial")
    said.append("what a trial costs is counted in steps, unless it logs completions_generated")
    said.append(f"a trial that writes nothing for {trial.stall_minutes:g} minutes is taken to hang and is ended")
    return tuple(said)


def _name(words: Sequence[str]) -> str:
    """The script that is run, as a name for a study."""
    script = next((word for word in words if word.endswith((".py", ".sh"))), words[0])
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(script).stem) or "command"


# ---- as plain JSON types


def to_json(spec: CommandSpec) -> dict[str, Any]:
    """The spec as plain JSON types."""
    stop_on = spec.stop_on.name.lower() if spec.stop_on is not None else None
    return {"v": VERSION, **asdict(spec), "stop_on": stop_on}


def from_json(data: Mapping[str, Any], where: str) -> CommandSpec:
    """The inverse of `to_json`; UserError names `where` and the key at fault."""
    if data.get("v") != VERSION:
        raise UserError(
            f"{where} has version {data.get('v')}, this autotune reads version {VERSION}",
            "Use the autotune that wrote it, or upgrade.",
        )
    known = {f.name for f in fields(CommandSpec)}
    unknown = set(data) - known - {"v", "arguments"}
    if unknown:
        raise UserError(f"{where}: unknown keys {', '.join(sorted(unknown))}", f"Known are {', '.join(sorted(known))}.")
    values = {key: value for key, value in data.items() if key in known}
    try:
        if values.get("stop_on") is not None:
            values["stop_on"] = Severity.parse(str(values["stop_on"]))
        return CommandSpec(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}", "A command is a text, stop_on a severity.") from None


def write(spec: CommandSpec, directory: Path) -> Path:
    """Write `config.json` in `directory`, whole or not at all, with the command as it begins; returns its path."""
    path = directory / CONFIG_FILE
    partial = directory / f"{CONFIG_FILE}.{os.getpid()}.partial"
    data = {**to_json(spec), "arguments": spec.arguments(directory, 1)}
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return partial.replace(path)


def read(directory: Path) -> CommandSpec:
    """The spec in the `config.json` of `directory`; UserError where there is none or it cannot be read."""
    path = directory / CONFIG_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} has no {CONFIG_FILE}", "It is not the folder of a trial.") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}", "Restore it or start the trial anew.") from None
    return from_json(data, str(path))
