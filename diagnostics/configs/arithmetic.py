"""Whole numbers of `$((...))`: sums, products and quotients of literals, and nothing else."""

from __future__ import annotations

import ast
import re

_MOST = 10**15
_PLAIN = re.compile(r"[\d\s+\-*/%()]+")


def evaluated(expression: str) -> int | None:
    """The value, None where it is anything else, or too large to be a setting."""
    if len(expression) > 200 or not _PLAIN.fullmatch(expression):
        return None
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and abs(value) <= _MOST:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _value(left), _value(right)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult() if abs(a * b) <= _MOST:
                    return a * b
                case ast.Div() | ast.FloorDiv():  # the shell cuts towards zero
                    return int(a / b)
                case ast.Mod():
                    return a - b * int(a / b)
    raise ValueError("no whole number")
