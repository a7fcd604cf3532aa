"""The sizes that metadata.json says a tensor has, some of them as formulas in n and p: ``16*n``, ``2**p``."""

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
#: Nobody's image is longer, and ``9**9**9`` takes longer than anybody waits.
_LARGEST = 2**16


def size_of(formula: str | int, n: int = 1, p: int = 1) -> int:
    """A size in pixels, from a number or a formula of numbers, ``n``, ``p`` and ``+ - * / // % **``.

    MONAI evaluates such a formula as Python; this reads it as data.

    Raises:
        InputError: it is something else, or no whole number from 1 to 65536.
    """
    try:
        value = _value(ast.parse(str(formula), mode="eval").body, {"n": n, "p": p})
    except (ArithmeticError, RecursionError, SyntaxError, ValueError):
        value = None
    if not isinstance(value, (int, float)) or value != int(value) or not 1 <= value <= _LARGEST:
        raise InputError(
            f"configs/metadata.json: spatial_shape has {str(formula)[:40]!r}, which is no size at n = {n}, p = {p}; write a "
            'number or a formula of numbers, n, p and + - * / // % **, as in "16*n"'
        )
    return int(value)


def check_shapes(metadata: Mapping[str, Any]) -> None:
    """See that every ``spatial_shape`` is made of such formulas, before MONAI evaluates them.

    Raises:
        InputError: one is not.
    """
    for tensors in metadata["network_data_format"].values():
        for tensor in tensors.values():
            for formula in tensor.get("spatial_shape", ()):
                size_of(formula)


def _value(node: ast.expr, names: Mapping[str, int]) -> float | None:
    """What a part of a formula amounts to; None if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
    elif isinstance(node, ast.Name):
        value = names.get(node.id)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        sides = _value(node.left, names), _value(node.right, names)
        value = None if None in sides else _OPERATIONS[type(node.op)](*sides)
    else:
        value = None
    # each step stays small, so that no power of a power is ever computed
    return value if isinstance(value, (int, float)) and abs(value) <= _LARGEST else None
