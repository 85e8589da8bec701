"""YAML: nothing but mappings, lists and plain values is made of it, and each value knows its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from diagnostics.configs.config import Given, NoConfig

_DEEPEST = 20  # mappings and lists within each other
_MOST_NODES = 20_000  # an alias may stand for a part that holds aliases
# YAML 1.1, which PyYAML reads, takes 1e-6 for a text; whoever writes it means a number, and all frameworks read one.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def read(text: str) -> tuple[dict[str, Given], list[str]]:
    """The settings by name, nested names joined by ".", and notes; NoConfig where it is no YAML of settings."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise NoConfig(f"is no YAML{where}: {problem}") from None
    if not isinstance(root, yaml.MappingNode):
        raise NoConfig("holds no settings: it is YAML without names at its top")
    walk = _Walk(yaml)
    found = dict(walk.mapping(root, "", 1))
    return _resolved(found), walk.notes


class _Walk:
    """Goes through the nodes of a document."""

    def __init__(self, yaml: Any) -> None:
        self._constructor, self._strange = yaml.constructor.SafeConstructor(), yaml.constructor.ConstructorError
        self._nodes = 0
        self.notes: list[str] = []

    def mapping(self, node: Any, within: str, depth: int) -> Iterator[tuple[str, Given]]:
        """The values in a mapping, each under its name; those of a merge key (`<<`) go before."""
        self._count(node, depth)
        lines: dict[str, int] = {}
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        for value in merged:
            for one in value.value if value.id == "sequence" else [value]:
                if one.id == "mapping":
                    yield from self.mapping(one, within, depth + 1)
        for key, value in node.value:
            if key.id != "scalar" or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = f"{within}{key.value}", key.start_mark.line + 1
            if name in lines:
                self.notes.append(f"{name} stands in lines {lines[name]} and {line}: the later one counts")
            lines[name] = line
            if value.id == "mapping" and value.value:
                yield from self.mapping(value, f"{name}.", depth + 1)
            else:
                yield name, self._given(value, line, depth)

    def _given(self, node: Any, line: int, depth: int) -> Given:
        value = self._value(node, depth + 1)
        if isinstance(value, str) and value == "???":
            return Given(None, line, "it has to be given elsewhere (???)")
        return Given(value, line)

    def _value(self, node: Any, depth: int) -> Any:
        self._count(node, depth)
        if node.id == "sequence":
            return [self._value(item, depth + 1) for item in node.value]
        if node.id == "mapping":
            return {}
        if node.tag == "tag:yaml.org,2002:str" and node.style is None and _NUMBER.fullmatch(node.value):
            return float(node.value)
        try:
            return self._constructor.construct_object(node)
        except (ValueError, OverflowError) as error:  # a date that is none, a number without digits
            raise NoConfig(f"is no YAML in line {node.start_mark.line + 1}: {error}") from None
        except self._strange:  # a tag that stands for a thing of Python or of others: only its text is taken
            return node.value

    def _count(self, node: Any, depth: int) -> None:
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise NoConfig(f"is nested too deeply, or too long, in line {node.start_mark.line + 1}")


_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")


def _resolved(found: dict[str, Given]) -> dict[str, Given]:
    """Values that refer to others (`${data.n}`, as OmegaConf writes it) with what those are, where that is known."""
    return {name: _followed(name, given, found) for name, given in found.items()}


def _followed(name: str, given: Given, found: dict[str, Given]) -> Given:
    if given.unknown:
        return given
    value, seen = given.value, {name}
    while isinstance(value, str) and "${" in value:
        reference = _REFERENCE.fullmatch(value.strip())
        if reference is None or reference[1] not in found or reference[1] in seen:
            return Given(None, given.line, f"it is {value}")
        seen.add(reference[1])
        other = found[reference[1]]
        if other.unknown:
            return Given(None, given.line, f"it is {value}, and {other.unknown}")
        value = other.value
    return Given(value, given.line)
