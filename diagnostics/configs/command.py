"""A command line that starts a training: launcher, script or module, and its arguments. Nothing of it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from diagnostics.configs import script, yaml_file
from diagnostics.configs.config import MOST_BYTES, Config, Given, NoConfig, plain
from diagnostics.configs.frameworks import Framework, all_frameworks
from diagnostics.configs.words import Word
from diagnostics.readers.table import number

# verl's own configurations, whose defaults are known; with the second the strategy is another one.
_OF_VERL = ("ppo_trainer", "ppo_megatron_trainer")
_COUNTED = {  # how launchers are told of processes: names whose values are multiplied
    "torchrun": ("nproc_per_node", "nnodes"),
    "torch.distributed.run": ("nproc_per_node", "nnodes"),
    "torch.distributed.launch": ("nproc_per_node", "nnodes"),
    "accelerate": ("num_processes",),
    "accelerate.commands.launch": ("num_processes",),
    "trl": ("num_processes",),
    "deepspeed": ("num_gpus", "num_nodes"),
}
SEVERAL = {"srun", "mpirun", "mpiexec"}  # start the same command several times


def read(words: Sequence[Word], source: str, folders: Sequence[Path] = ()) -> Config | None:
    """The configuration that a command line gives, None where it starts nothing that may be a training.

    `folders` are where the files that it names are looked for.
    """
    at, framework = _entry(words)
    if at is None:
        return None
    entry = words[at]
    folders = (Path(), *folders)
    if framework is None:
        held = _text(entry.text, folders) if entry.text.endswith(".py") else None
        used = script.used(held) if held is not None else set()
        framework = all_frameworks().get(used.pop()) if len(used) == 1 else None
    if framework is not None and framework.overrides:
        given, more, notes = _overrides(words[at + 1 :])
    else:
        given, more, notes = _options(words[at + 1 :], folders)
        if framework is None and not given:  # a module of somebody's own that builds on verl
            given, more, notes = _overrides(words[at + 1 :])
    return Config(
        source,
        f"the command line of {entry.text}",
        given,
        framework.name if framework is not None else "",
        entry.line,
        tuple(more),
        _processes(words[:at], given, folders),
        notes=tuple(notes),
    )


def _entry(words: Sequence[Word]) -> tuple[int | None, Framework | None]:
    """Where the script or module stands that trains, and its framework where its name tells that."""
    for i, word in enumerate(words):
        behind = f"{word.text} {words[i + 1].text}" if i + 1 < len(words) else ""
        for framework in all_frameworks().values():
            if behind in framework.commands:
                return i + 1, framework
            if any(word.text == command or word.text.endswith(f"/{command}") for command in framework.commands):
                return i, framework
        before = words[i - 1].text if i else ""
        if before in ("-m", "--module") and word.text not in _COUNTED:
            return i, None
        if word.text.endswith(".py") and not word.text.startswith("-"):
            return i, None
    return None, None


def _overrides(words: Sequence[Word]) -> tuple[dict[str, Given], list[str], list[str]]:
    """Arguments as Hydra has them: `name=value`, with `+`, `++` or `~` in front."""
    given: dict[str, Given] = {}
    more, notes = [], []
    for word in words:
        name, equals, value = word.text.partition("=")
        name = name.strip()
        if name in ("--config-name", "--config-path", "-cn", "-cp", "--config-dir") or word.text.startswith("--config"):
            stem = value.strip("'\"./").removesuffix(".yaml")
            if name == "--config-path" and stem == "config":  # verl's own, beside its trainer
                continue
            if name != "--config-name" or stem not in _OF_VERL:
                more.append(f"{_line(word)}{word.text} brings settings of its own")
            elif "megatron" in stem:
                given["actor_rollout_ref.actor.strategy"] = Given("megatron", word.line)
        elif not equals or "$" in name:
            if word.unknown:
                more.append(f"{_line(word)}{word.text} may bring any")
        elif name.startswith("~"):
            given[name.lstrip("~")] = Given(None, word.line)
        else:
            name = name.lstrip("+")
            if name in given:
                notes.append(f"{name} is given twice: {_line(word)}{value} counts")
            value = value if word.quoted else value.strip("'\"")
            given[name] = Given(None, word.line, f"it is {word.unknown}") if word.unknown else _value(value, word.line)
    return given, more, notes


def _value(text: str, line: int) -> Given:
    if "${" in text:
        return Given(None, line, f"it is {text}")
    return Given(plain(text.strip("'\"")), line)


def _options(words: Sequence[Word], folders: Sequence[Path]) -> tuple[dict[str, Given], list[str], list[str]]:
    """Arguments as argparse has them: `--name value`, `--name=value`, `--flag`; a file they name comes before them."""
    given: dict[str, Given] = {}
    held: dict[str, Given] = {}
    more, notes = [], []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.text.startswith("--"):
            if _any(word):
                more.append(f"{_line(word)}{word.text} may bring any")
            continue
        name, equals, value = word.text[2:].partition("=")
        name = name.replace("-", "_")
        values = [replace(word, text=value)] if equals else []
        while not equals and at < len(words) and not _is_option(words[at]) and not (values and _any(words[at])):
            values.append(words[at])
            at += 1
        if name in given:
            notes.append(f"--{name} is given twice: the later one counts")
        given[name] = _option(word, values)
        if name in ("config", "config_file") and len(values) == 1 and values[0].text.endswith((".yaml", ".yml")):
            found, said = _file(values[0], folders)
            held |= found
            more += said
            del given[name]
    return {**held, **given}, more, notes


def _any(word: Word) -> bool:
    """Whether it may be any number of words."""
    return bool(word.unknown) and not word.quoted and word.text.startswith(("$", "`"))


def _is_option(word: Word) -> bool:
    return word.text.startswith("-") and number(word.text) is None


def _option(word: Word, values: Sequence[Word]) -> Given:
    unknown = next((value.unknown for value in values if value.unknown), "")
    if unknown:
        return Given(None, word.line, f"it is {unknown}")
    read = [plain(value.text) for value in values]
    return Given(True if not read else read[0] if len(read) == 1 else read, word.line)


def _file(word: Word, folders: Sequence[Path]) -> tuple[dict[str, Given], list[str]]:
    """The settings in a YAML file that a command line names, and why they are not known where they are not."""
    text = _text(word.text, folders) if not word.unknown else None
    if text is None:
        return {}, [f"{_line(word)}{word.text} is not there"]
    try:
        given, _ = yaml_file.read(text)
    except NoConfig as why:
        return {}, [f"{_line(word)}{word.text} {why}"]
    return {name: replace(one, file=word.text) for name, one in given.items()}, []


def _processes(before: Sequence[Word], given: dict[str, Given], folders: Sequence[Path]) -> Given | None:
    """How many processes the launcher starts, None where it does not say."""
    texts = [word.text for word in before]
    if SEVERAL & {text.rpartition("/")[2] for text in texts} or any(
        w.unknown and "=" not in w.text for w in before[:1]
    ):
        return None
    launcher = next((text.rpartition("/")[2] for text in texts if text.rpartition("/")[2] in _COUNTED), None)
    if launcher is None:
        return Given(1)
    own, _, _ = _options(before, ())
    options = {**own, **(given if launcher == "trl" else {})}
    names = _COUNTED[launcher]
    first = options.get(names[0])
    if first is None and launcher.startswith("accelerate"):
        file = next((b for a, b in pairwise(before) if a.text == "--config_file"), None)
        first = _file(file, folders)[0].get("num_processes") if file is not None else None
    if first is None or not isinstance(first.value, int) or isinstance(first.value, bool):
        return Given(1) if first is None and launcher.startswith("torch") else None
    others = [options[name].value for name in names[1:] if name in options]
    if not all(isinstance(other, int) for other in others):
        return None
    total = first.value
    for other in others:
        total *= other
    return Given(total, first.line)


def _text(path: str, folders: Sequence[Path]) -> str | None:
    """What a file of settings or a script holds, None where there is none, or it is no text of a usual size."""
    for folder in folders:
        file = folder / path
        try:
            if file.is_file() and file.stat().st_size <= MOST_BYTES:
                return file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
    return None


def _line(word: Word) -> str:
    return f"line {word.line}: " if word.line else ""
