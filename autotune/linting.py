"""Finds the configurations that someone names, and has them checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rich.text import Text

from autotune import study_lint
from diagnostics.catalogue import here
from diagnostics.choice import named
from diagnostics.configs import command as command_line
from diagnostics.configs import files, words
from diagnostics.configs.config import NoConfig
from diagnostics.configs.linting import Linted, lint
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.rule import Catalogue, Lint
from diagnostics.sources import NO_FOLDERS
from diagnostics.text import count
from studies.spec import presets

COMMAND_LINE, TOML = "the command line", ".toml"
_GIVE = "Give a YAML, JSON, Python or shell file, a study, or a command line behind --."


@dataclass(frozen=True, slots=True)
class Checked:
    """What was said of each configuration, why files were passed over, and what is to be put right."""

    linted: tuple[Linted, ...]
    passed_over: Mapping[str, str]
    errors: tuple[str, ...]

    def remarks(self) -> Iterator[Text]:
        """How many there are of several, and what was passed over, in a line each."""
        if len(self.linted) > 1:
            loud = sum(one.loud() for one in self.linted)
            yield Text(
                f"{len(self.linted)} configurations, {loud or 'none'} with a finding at warning or above.", "bold"
            )
        if self.passed_over:
            n = len(self.passed_over)
            told = f"{count(n, 'file')} passed over: {'it holds' if n == 1 else 'they hold'} no configuration."
            yield Text(told, "dim")


def check(
    sources: Sequence[str],
    command: Sequence[str],
    rule_files: Sequence[str],
    only: Iterable[str],
    ignore: Iterable[str],
    *,
    skip_others: bool = False,
) -> Checked:
    """Check what `sources` name; UserError for a rule that does not exist, and where nothing is named."""
    if not sources and not command:
        raise UserError("there is nothing to check", _GIVE)
    rules = _chosen(here(rule_files), only, ignore)
    linted: list[Linted] = []
    passed_over: dict[str, str] = {}
    errors: list[str] = []
    if command:
        linted.append(_command(command, rules))
    for source in sources:
        path = Path(source)
        for file in _files(path) if path.is_dir() else [path]:
            try:
                linted += _of_file(source, file, rules)
            except NoConfig as why:
                if skip_others or path.is_dir():
                    passed_over[str(file)] = str(why)
                else:
                    errors.append(f"{file} {why}. {_GIVE}")
            except UserError as error:  # of a study that is broken, which keeps no other file from being checked
                errors.append(str(error))
            except FileNotFoundError:
                near = get_close_matches(source, presets(), n=1)
                meant = f"Did you mean the preset {near[0]}? " if near else ""
                errors.append(f"there is no {file}. {meant}Check the spelling.")
            except OSError as error:
                errors.append(f"{file} cannot be read: {error.strerror}. Check the path.")
        if path.is_dir() and not skip_others and not any(Path(one.source).is_relative_to(path) for one in linted):
            errors.append(f"no file in {source} holds a configuration. {_GIVE}")
    linted.sort(key=lambda one: -(one.worst() or Severity.INFO))  # those with something wrong first
    return Checked(tuple(linted), passed_over, tuple(errors))


def _command(arguments: Sequence[str], rules: Catalogue) -> Linted:
    config = command_line.read(words.of(arguments), COMMAND_LINE)
    try:
        if config is None:
            raise NoConfig("starts no training that is known")
        return lint(config, rules)
    except NoConfig as why:
        raise UserError(
            f"{COMMAND_LINE} {why}", "Give it as it is typed: autotune lint -- python train.py ..."
        ) from None


def _of_file(source: str, path: Path, rules: Catalogue) -> list[Linted]:
    """What is said of each configuration in a file, of a study, or of a preset of that name."""
    if path.suffix == TOML or (not path.exists() and source in presets()):
        return [study_lint.of_study(source if path == Path(source) else str(path), rules)]
    if path.suffix.lower() == ".json":
        text = files.text_of(path)
        if study_lint.is_trial(text):
            return [study_lint.of_trial(text, str(path), rules)]
    return [lint(config, rules) for config in files.read(path)]


def _files(folder: Path) -> list[Path]:
    """The files below `folder` that may hold a configuration, but for hidden ones and what is installed."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NO_FOLDERS]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in (*files.SUFFIXES, TOML) and path.is_file())


def _chosen(rules: Catalogue, only: Iterable[str], ignore: Iterable[str]) -> Catalogue:
    """The rules on settings that are asked for."""
    lints = {code: judge for code, judge in rules.items() if isinstance(judge, Lint)}
    wanted, unwanted = _codes(only, rules), _codes(ignore, rules)
    if wanted and not wanted & lints.keys():
        codes = ", ".join(sorted(wanted))
        raise UserError(f"{codes} cannot be checked in a configuration", "Ask for others, such as CFG001.")
    return {code: judge for code, judge in lints.items() if (not wanted or code in wanted) and code not in unwanted}


def _codes(texts: Iterable[str], rules: Catalogue) -> set[str]:
    return {named(part.strip(), rules).code for text in texts for part in text.split(",") if part.strip()}
