"""Test that an error or Ctrl-C ends a run with one line."""

from __future__ import annotations

import contextlib
import sys

import pytest
from planewise.engines import plain_errors
from planewise.errors import InputError


@pytest.mark.parametrize(
    ("error", "rank", "lines"),
    [
        (InputError("index it again"), "0", 1),
        (KeyboardInterrupt("stopped after epoch 2"), "0", 1),
        (KeyboardInterrupt("stopped after epoch 2"), "1", 0),  # the first process says it
    ],
)
def test_a_run_ends_with_one_line(error, rank, lines, monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("RANK", rank)
    plain_errors()
    outer = error
    if isinstance(error, InputError):  # as MONAI passes on an error of an expression
        outer = RuntimeError("in an expression")
        outer.__cause__ = error
    with contextlib.suppress(SystemExit):
        sys.excepthook(type(outer), outer, None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines and all(str(error) in line for line in said)


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    plain_errors()
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("by zero"), None)
    assert "ZeroDivisionError: by zero" in capsys.readouterr().err
