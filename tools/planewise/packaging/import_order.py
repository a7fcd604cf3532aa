"""Imports in the order of isort's black profile."""

from __future__ import annotations

import ast
import sys

_LINE = 120


def sorted_imports(text: str) -> str:
    """The text of a module with each run of imports in isort's order (profile black, 120 columns).

    There are three sections, separated by an empty line: ``__future__``, Python's own library and all others; in each,
    ``import`` comes before ``from``, by name. A list of names is on one line if it fits. The Model Zoo runs isort on a
    bundle's code, where this package's name, which sorts after all others, becomes one among them.
    """
    lines = text.splitlines(keepends=True)
    for run in reversed(_runs(ast.parse(text))):
        first, last = run[0].lineno - 1, run[-1].end_lineno
        indent = " " * run[0].col_offset
        above = first
        entries = []
        for statement in run:
            written = "".join(lines[above : statement.end_lineno]).strip("\n") + "\n"
            entries.append((_key(statement), _on_one_line(statement, written, indent)))
            above = statement.end_lineno
        entries.sort(key=lambda entry: entry[0])
        block = ""
        for number, (key, written) in enumerate(entries):
            block += "\n" * (number > 0 and key[0] != entries[number - 1][0][0]) + written
        lines[first:last] = [block]
    return "".join(lines)


def _runs(tree: ast.Module) -> list[list[ast.stmt]]:
    """Imports that follow one another, in the order of the text."""
    runs: list[list[ast.stmt]] = []
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            previous = None
            for statement in block if isinstance(block, list) else ():
                if isinstance(statement, (ast.Import, ast.ImportFrom)):
                    if isinstance(previous, (ast.Import, ast.ImportFrom)):
                        runs[-1].append(statement)
                    else:
                        runs.append([statement])
                previous = statement
    return sorted(runs, key=lambda run: run[0].lineno)


def _key(statement: ast.stmt) -> tuple[int, bool, str]:
    name = statement.module if isinstance(statement, ast.ImportFrom) else statement.names[0].name
    top = name.partition(".")[0]
    section = 0 if top == "__future__" else 1 if top in sys.stdlib_module_names else 2
    return section, isinstance(statement, ast.ImportFrom), name.lower()


def _on_one_line(statement: ast.stmt, written: str, indent: str) -> str:
    """An import as written, on one line if possible: comments keep their places."""
    if not isinstance(statement, ast.ImportFrom) or "#" in written:
        return written
    line = f"{indent}{ast.unparse(statement)}\n"
    return line if len(line) <= _LINE + 1 else written
