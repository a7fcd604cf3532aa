"""Make a test fail if a loop with assertions never runs, because a test that loops over an empty list checks nothing.

`pytest --checking-loops` turns this on (tests/conftest.py). In some cases of a parametrised test, the list may be empty.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


@lru_cache
def _functions(file: str) -> dict[tuple[str, int], ast.FunctionDef]:
    tree = ast.parse(Path(file).read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    # Python counts a function's first line from its decorators
    return {(node.name, min([node.lineno, *(one.lineno for one in node.decorator_list)])): node for node in found}


def checking_loops(function: Callable[..., Any]) -> list[int]:
    """The first line in the body of each loop that contains an assertion, in a function; loops that run only under a
    condition are not included.
    """
    code = function.__code__
    node = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
    waiting, found = list(node.body) if node else [], []
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.For):
            if any(isinstance(inner, ast.Assert) for inner in ast.walk(statement)):
                found.append(statement.body[0].lineno)
            waiting += statement.body
        elif isinstance(statement, ast.With):
            waiting += statement.body
    return sorted(found)


@contextmanager
def loops_entered(function: Callable[..., Any]) -> Iterator[None]:
    """Run a test in this context: if it passes, each of its `checking_loops` has run at least once.

    Raises:
        AssertionError: one of them has not run.
    """
    lines = set(checking_loops(function)) if inspect.isfunction(function) else set()
    before = sys.gettrace()
    if not lines or before is not None:  # a debugger or a coverage measurement is tracing already
        yield
        return
    left = set(lines)
    sys.settrace(_watch(function.__code__, left))
    try:
        yield
    finally:
        sys.settrace(before)
    assert not left, f"the loop around line {min(left)} of {function.__name__} is empty, so it checks nothing"


def _watch(code: CodeType, left: set[int]) -> Callable[..., Any]:
    """A trace function that removes the lines of a code object from `left` as they run."""

    def line(frame: FrameType, event: str, _: Any) -> Any:
        left.discard(frame.f_lineno)
        # stop tracing once all have run
        return line if left else None

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return line if frame.f_code is code else None

    return call
