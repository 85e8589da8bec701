"""A Python script that makes a config of TRL: read as a tree, never run."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.configs import frameworks
from diagnostics.configs.config import Config, Given, NoConfig

_DEEPEST = 50  # expressions within each other, names followed
_ADAPTERS = frozenset({"get_peft_model"})  # calls that put an adapter on a model
_BINARY: Mapping[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
}


class _Unknown(Exception):
    """Why an expression has no value without running it."""


def read(text: str, source: str) -> list[Config]:
    """A configuration for each call of a config's class; NoConfig where it is no Python, or makes none."""
    tree = _tree(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    literals, imports = _Literals(_constants(tree)), _imports(tree)
    known = {imports.get(name, ("", name))[1] for name in map(_called, calls)}
    adapter = bool(_ADAPTERS & known) or any(
        keyword.arg == "peft_config" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
        for call in calls
        if _called(call).endswith("Trainer")
        for keyword in call.keywords
    )
    modules = _modules(tree)
    found = []
    for call in calls:
        module, name = imports.get(_called(call), ("", _called(call)))
        given, more = _arguments(call, literals)
        framework = frameworks.of_class(name, module, modules, given)
        if framework is not None:
            found.append(Config(source, f"{name}(...)", given, framework, call.lineno, more, adapter=adapter))
    if not found:
        classes = ", ".join(frameworks.classes())
        raise NoConfig(f"makes no config that is known ({classes}): the arguments of its command line can be checked")
    return found


def used(text: str) -> set[str]:
    """The frameworks whose configs a script names, whether it makes them or hands them to a parser of arguments."""
    try:
        tree = _tree(text)
    except NoConfig:
        return set()
    imports, modules = _imports(tree), _modules(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = {frameworks.of_class(imports.get(n, ("", n))[1], imports.get(n, ("", n))[0], modules, {}) for n in names}
    return {framework for framework in found if framework is not None}


def _tree(text: str) -> ast.Module:
    """The script as a tree; NoConfig where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its escapes
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise NoConfig(f"is no Python{line}") from None


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _arguments(call: ast.Call, literals: _Literals) -> tuple[dict[str, Given], tuple[str, ...]]:
    """The settings of a call, and why there may be more of them."""
    given: dict[str, Given] = {}
    more = [f"line {arg.lineno} gives arguments without a name" for arg in call.args[:1]]
    for keyword in call.keywords:
        line = keyword.value.lineno
        if keyword.arg is not None:
            given |= dict(_settings(keyword.arg, keyword.value, line, literals))
            continue
        held = literals.held(keyword.value.id) if isinstance(keyword.value, ast.Name) else keyword.value
        pairs = _pairs(held)
        if pairs is None:
            more.append(f"line {line} takes in **{_text(keyword.value)}")
        for name, value in pairs or ():
            given |= dict(_settings(name, value, value.lineno, literals))
    return given, tuple(more)


def _settings(name: str, value: ast.expr, line: int, literals: _Literals) -> Iterator[tuple[str, Given]]:
    pairs = _pairs(value)
    if pairs:
        for inner, one in pairs:
            yield from _settings(f"{name}.{inner}", one, one.lineno, literals)
        return
    try:
        yield name, Given(literals.value(value), line)
    except _Unknown:
        yield name, Given(None, line, f"it is {_text(value)}")


def _text(node: ast.expr) -> str:
    """An expression as it is written, cut where it is long."""
    try:
        text = ast.unparse(node)
    except RecursionError:
        return "a long expression"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pairs(node: ast.expr | None) -> list[tuple[str, ast.expr]] | None:
    """The entries of a dict that is written out, or of a call of `dict`; None where it is neither."""
    match node:
        case ast.Dict(keys=keys, values=values):
            named = [
                (key.value, value) for key, value in zip(keys, values, strict=True) if isinstance(key, ast.Constant)
            ]
            return [(str(key), value) for key, value in named] if len(named) == len(keys) else None
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            pairs = [(keyword.arg, keyword.value) for keyword in keywords if keyword.arg is not None]
            return pairs if len(pairs) == len(keywords) else None
    return None


class _Literals:
    """Values of expressions: literals, arithmetic of them, and names that the module sets once to such."""

    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self._names = names
        self._values: dict[str, Any] = {}

    def held(self, name: str) -> ast.expr | None:
        """What the module sets a name to, None where it sets it to several things, or to nothing."""
        return self._names.get(name)

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """The value of an expression; _Unknown where it has none."""
        if depth > _DEEPEST:
            raise _Unknown
        match node:
            case ast.Constant(value=value):
                return value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item, depth + 1) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self.value(operand, depth + 1)
                if isinstance(value, int | float):
                    return -value
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                numbers = [self.value(side, depth + 1) for side in (left, right)]
                if all(isinstance(n, int | float) and abs(n) < 1e100 for n in numbers):
                    try:
                        return _BINARY[type(op)](*numbers)
                    except ZeroDivisionError:
                        raise _Unknown from None
            case ast.Name(id=name):
                return self._named(name, depth)
        raise _Unknown

    def _named(self, name: str, depth: int) -> Any:
        if name in self._names and name not in self._values:
            self._values[name] = _Unknown  # also for a name that comes back to itself
            self._values[name] = self.value(self._names[name], depth + 1)
        value = self._values.get(name, _Unknown)
        if value is _Unknown:
            raise _Unknown
        return value


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the module sets once, and nothing else in it sets, with what it sets them to."""
    nodes = list(ast.walk(tree))
    stores = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    stores.update(node.arg for node in nodes if isinstance(node, ast.arg))
    found = {}
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if stores[name] == 1:
                    found[name] = value
    return found


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Names that come from elsewhere: the module, and what they are called there."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _modules(tree: ast.Module) -> set[str]:
    """The packages that are imported at all."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
