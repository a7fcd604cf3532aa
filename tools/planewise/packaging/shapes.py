"""Read the tensor sizes in metadata.json, which may be formulas of n and p, such as ``16*n`` or ``2**p``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from typing import Any

from planewise.errors import InputError

_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
#: Largest size. No image is larger, and computing ``9**9**9`` would take too long.
_LARGEST = 2**16


def size_of(formula: str | int, n: int = 1, p: int = 1) -> int:
    """A size in pixels, from a number or a formula of numbers, ``n``, ``p`` and ``+ - * / // % **``.

    MONAI evaluates such a formula as Python code; this function parses it as data.

    Raises:
        InputError: the formula has another form, or its value is not a whole number from 1 to 65536.
    """
    try:
        value = _value(ast.parse(str(formula), mode="eval").body, {"n": n, "p": p})
    except (ArithmeticError, RecursionError, SyntaxError, ValueError):
        value = None
    if not isinstance(value, (int, float)) or value != int(value) or not 1 <= value <= _LARGEST:
        raise InputError(
            f"configs/metadata.json: spatial_shape has {str(formula)[:40]!r}, which is not a valid size at n = "
            f'{n}, p = {p}; write a number or a formula of numbers, n, p and + - * / // % **, as in "16*n"'
        )
    return int(value)


def check_shapes(metadata: Mapping[str, Any]) -> None:
    """Check every formula in ``spatial_shape`` with `size_of`, before MONAI evaluates it.

    Raises:
        InputError: a formula is not valid.
    """
    for tensors in metadata["network_data_format"].values():
        for tensor in tensors.values():
            for formula in tensor.get("spatial_shape", ()):
                size_of(formula)


def _value(node: ast.expr, names: Mapping[str, int]) -> float | None:
    """The value of a part of a formula; None if it is not a valid part."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
    elif isinstance(node, ast.Name):
        value = names.get(node.id)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        sides = _value(node.left, names), _value(node.right, names)
        value = None if None in sides else _OPERATIONS[type(node.op)](*sides)
    else:
        value = None
    # each step stays small, so that a power of a power is never computed
    return value if isinstance(value, (int, float)) and abs(value) <= _LARGEST else None
