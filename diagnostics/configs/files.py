"""The configurations in a file, by what it is named and holds."""

from __future__ import annotations

from pathlib import Path

from diagnostics.configs import json_file, script, shell, yaml_file
from diagnostics.configs.config import MOST_BYTES, Config, NoConfig

YAML, JSON, PYTHON, SHELL = (".yaml", ".yml"), (".json",), (".py",), (".sh", ".bash", ".slurm", ".sbatch")
SUFFIXES = (*YAML, *JSON, *PYTHON, *SHELL)


def read(path: Path) -> list[Config]:
    """All configurations in a file; NoConfig where there is none. OSError where it cannot be read."""
    text = text_of(path)
    suffix = path.suffix.lower()
    if suffix in PYTHON:
        return script.read(text, str(path))
    if suffix in SHELL:
        return shell.read(text, path)
    if suffix in JSON:
        given, notes = json_file.read(text)
        return [Config(str(path), "JSON", given, document=True, notes=tuple(notes))]
    if suffix in YAML:
        given, notes = yaml_file.read(text)
        # TRL's command takes what accelerate is to know from the same file.
        return [
            Config(str(path), "YAML", given, processes=given.get("num_processes"), document=True, notes=tuple(notes))
        ]
    raise NoConfig(f"is none of {', '.join(SUFFIXES)}")


def text_of(path: Path) -> str:
    """The text of a file; NoConfig for one that is none, or is too large to be a configuration."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise NoConfig("is larger than a megabyte")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NoConfig("is no text in UTF-8") from None
