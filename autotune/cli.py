"""The command line: the table of verbs, one parser, one handler of errors, the exit statuses.

A verb's module is imported when it is the one chosen, so that `autotune --help` imports none of them.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

from autotune.extras import EXTRAS, missing
from diagnostics.errors import UserError
from diagnostics.text import visible


class ExitStatus(IntEnum):
    """What the shell is told."""

    CLEAN = 0
    FINDINGS = 1  # at or above --fail-on
    ERROR = 2  # something the user can put right
    INTERRUPTED = 130
    BROKEN_PIPE = 141  # whoever read our output has seen enough, as in `autotune rules | head`


class Command(Protocol):
    """A module of `autotune/commands/`: one verb."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, args: argparse.Namespace) -> ExitStatus:
        """Do it. UserError for what the user can put right."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A line of `autotune --help` and the module that is behind it."""

    module: str
    help: str

    def load(self) -> Command:
        """Import the module."""
        return cast(Command, importlib.import_module(self.module))


VERBS: Mapping[str, Verb] = {
    "study": Verb("autotune.commands.study", "search for good hyperparameters, trial by trial"),
    "monitor": Verb("autotune.commands.monitor", "watch a study or any log, running or over, from any terminal"),
    "train": Verb("autotune.commands.train", "run one training and diagnose it while it runs"),
    "diagnose": Verb("autotune.commands.diagnose", "say what is wrong with a run and what to change"),
    "lint": Verb("autotune.commands.lint", "say what is wrong with a configuration before it is run"),
    "compare": Verb("autotune.commands.compare", "say what changed between runs, and what came of it"),
    "rules": Verb("autotune.commands.rules", "list the rules, or show the page of one"),
}

# The user's to mend, and how; any other OSError that reaches the top is a bug of ours.
DISK_ERRORS: Mapping[int, str] = {
    errno.ENOSPC: "Free some space there, or choose another folder",
    errno.EDQUOT: "Free some space there, or choose another folder",
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f), or choose another folder",
    errno.EROFS: "Choose a folder that can be written",
    errno.EACCES: "Change its permissions, or choose another folder",
    errno.EPERM: "Change its permissions, or choose another folder",
    errno.ENOTDIR: "Choose a folder whose parents are folders",
    errno.EEXIST: "Choose another folder",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `autotune` on `argv` (`sys.argv` by default); returns the exit status. Only a bug raises."""
    for name in ("stdout", "stderr"):  # Python has None for one that the shell closed (`>&-`)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):  # a character that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):  # a kill and a closed terminal end as Ctrl-C does: no trial is left
        if signal.getsignal(number) is not signal.SIG_IGN:  # as it is under nohup
            signal.signal(number, signal.default_int_handler)
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except UserError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        print("autotune: interrupted", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        return fail(str(missing(package)))
    except BrokenPipeError:
        if not _stdout_is_gone():
            raise
        return ExitStatus.BROKEN_PIPE
    except OSError as error:
        if error.errno is None or error.errno not in DISK_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return fail(f"{where}{os.strerror(error.errno)}. {DISK_ERRORS[error.errno]}.")


def _run(argv: Sequence[str]) -> int:
    verb = next((arg for arg in argv if not arg.startswith("-")), "")
    command = VERBS[verb].load() if verb in VERBS else None
    args = _parser(verb, command).parse_args(argv)
    if args.version:
        from importlib.metadata import version

        print(f"autotune {version('autotune-rl')}")
        return ExitStatus.CLEAN
    if command is None:
        _parser(verb, command).print_help()
        return ExitStatus.CLEAN
    return command.run(args)


def _parser(chosen: str, command: Command | None) -> argparse.ArgumentParser:
    """The parser with all verbs, the arguments of the chosen one among them."""
    parser = Parser(prog="autotune", description="Trains language models with RL, says what is wrong, and changes it.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, verb in VERBS.items():
        subparser = verbs.add_parser(name, help=verb.help, description=f"{verb.help[0].upper()}{verb.help[1:]}.")
        if name == chosen and command is not None:
            command.configure(subparser)
    return parser


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are UserErrors with the nearest spelling. Its subparsers are Parsers too.

    With `keeps_dashes` a `--` is an argument like any other, and options may stand behind it.
    """

    keeps_dashes = False

    behind = ""  # the argument that takes all that stands behind "--", as it is typed

    def __init__(self, **options: Any) -> None:
        # an abbreviation that is clear today is ambiguous after the next option
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; UserError for an argument that is not known here."""
        if self.keeps_dashes:
            args = [f" {arg}" if arg == "--" else arg for arg in args]  # no option begins with a space
        given, behind = (args, []) if not self.behind or "--" not in args else _split(args)
        parsed, unknown = super().parse_known_args(given, namespace)
        if self.behind:
            setattr(parsed, self.behind, behind)
        if unknown:
            option = unknown[0].partition("=")[0]
            kind = "option" if option.startswith("-") else "argument"
            self._complain(f"unknown {kind} {option}", option, self._option_string_actions, f"See {self.prog} --help.")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = "command" if isinstance(action, argparse._SubParsersAction) else _spelling(action)
            self._complain(
                f"unknown {name} {value}", str(value), action.choices, f"Choose from {_joined(action.choices)}."
            )

    def _complain(self, message: str, given: str, known: Iterable[Any], hint: str) -> NoReturn:
        import difflib

        near = difflib.get_close_matches(given, [str(k) for k in known], n=1)
        raise UserError(message, f"Did you mean {near[0]}? {hint}" if near else hint)

    def error(self, message: str) -> NoReturn:
        """Raise UserError instead of printing the usage and leaving."""
        raise UserError(message, f"See {self.prog} --help.")


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before "--", and what behind it."""
    at = list(args).index("--")
    return [*args[:at]], [*args[at + 1 :]]


def _spelling(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)


def _joined(choices: Iterable[Any]) -> str:
    return ", ".join(str(choice) for choice in choices)


def fail(message: str) -> ExitStatus:
    """Say on stderr, in one line, what the user can put right."""
    print(f"autotune: error: {visible(' '.join(message.split()))}", file=sys.stderr)
    return ExitStatus.ERROR


def say(message: str) -> None:
    """Tell a person on stderr, in one line, what is being done."""
    print(f"autotune: {visible(message)}", file=sys.stderr, flush=True)


def _stdout_is_gone() -> bool:
    """Whether it was our stdout that broke; what is still buffered for it then goes nowhere."""
    import select

    poll = select.poll()
    poll.register(sys.stdout, 0)  # errors and hang-ups are always reported
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
