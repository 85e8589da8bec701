"""A Python script that makes a config of TRL: read as a tree, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.configs import frameworks
from diagnostics.configs.config import Config, Given, NoConfig

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
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise NoConfig(f"is no Python{line}") from None
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    constants, imports = _constants(tree), _imports(tree)
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
        given, more = _arguments(call, constants)
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
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    imports, modules = _imports(tree), _modules(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = {frameworks.of_class(imports.get(n, ("", n))[1], imports.get(n, ("", n))[0], modules, {}) for n in names}
    return {framework for framework in found if framework is not None}


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _arguments(call: ast.Call, constants: Mapping[str, ast.expr]) -> tuple[dict[str, Given], tuple[str, ...]]:
    """The settings of a call, and why there may be more of them."""
    given: dict[str, Given] = {}
    more = [f"line {arg.lineno} gives arguments without a name" for arg in call.args[:1]]
    for keyword in call.keywords:
        line = keyword.value.lineno
        if keyword.arg is not None:
            given |= dict(_settings(keyword.arg, keyword.value, line, constants))
            continue
        held = constants.get(keyword.value.id) if isinstance(keyword.value, ast.Name) else keyword.value
        pairs = _pairs(held)
        if pairs is None:
            more.append(f"line {line} takes in **{ast.unparse(keyword.value)}")
        for name, value in pairs or ():
            given |= dict(_settings(name, value, value.lineno, constants))
    return given, tuple(more)


def _settings(name: str, value: ast.expr, line: int, constants: Mapping[str, ast.expr]) -> Iterator[tuple[str, Given]]:
    pairs = _pairs(value)
    if pairs:
        for inner, one in pairs:
            yield from _settings(f"{name}.{inner}", one, one.lineno, constants)
        return
    try:
        yield name, Given(_value(value, constants, frozenset()), line)
    except _Unknown:
        text = ast.unparse(value)
        yield name, Given(None, line, f"it is {text if len(text) <= 60 else text[:57] + '...'}")


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


def _value(node: ast.expr, constants: Mapping[str, ast.expr], through: frozenset[str]) -> Any:
    """What a literal is, or arithmetic of literals, or a name that the module sets once to such; _Unknown otherwise."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, constants, through) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, constants, through)
            if isinstance(value, int | float):
                return -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            numbers = [_value(side, constants, through) for side in (left, right)]
            if all(isinstance(n, int | float) and abs(n) < 1e100 for n in numbers):
                try:
                    return _BINARY[type(op)](*numbers)
                except ZeroDivisionError:
                    raise _Unknown from None
        case ast.Name(id=name) if name in constants and name not in through:
            return _value(constants[name], constants, through | {name})
    raise _Unknown


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the module sets once, and nothing else in it sets, with what it sets them to."""
    stores = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    stores += [arg.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for arg in ast.walk(node)
               if isinstance(arg, ast.arg)]  # fmt: skip
    found = {}
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if stores.count(name) == 1:
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
