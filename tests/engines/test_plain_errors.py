"""Test that an error ends a run with one readable line, and with torchrun's error file."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable

import pytest
from monai.utils import OptionalImportError
from planewise.engines import plain_errors
from planewise.errors import InputError


@pytest.fixture
def shown(monkeypatch, capsys) -> Callable[..., str]:
    """A function that ends the process with an error, and returns what is then shown."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def ended(error: BaseException) -> str:
        plain_errors()
        with contextlib.suppress(SystemExit):
            sys.excepthook(type(error), error, None)
        return capsys.readouterr().err

    return ended


def wrapped(error: BaseException) -> RuntimeError:
    """An error as MONAI passes it on from an expression."""
    outer = RuntimeError("in an expression")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "whole"),
    [
        (InputError("index it again"), "planewise: index it again\n"),
        (OptionalImportError("install it"), "planewise: install it\n"),
        (ZeroDivisionError("by zero"), None),
    ],
)
def test_an_input_error_is_shown_by_its_message_alone(error, whole, shown):
    text = shown(wrapped(error))
    # an error that the user did not cause keeps its traceback
    if whole:
        assert text == whole
    else:
        assert "RuntimeError: in an" in text and text.endswith("\nplanewise: ended by ZeroDivisionError: by zero\n")


@pytest.mark.parametrize(
    ("error", "rank", "said"),
    [
        (KeyboardInterrupt(), "0", "planewise: interrupted\n"),
        (KeyboardInterrupt("stopped after epoch 2"), "0", "planewise: stopped after epoch 2\n"),
        (KeyboardInterrupt("stopped after epoch 2"), "1", ""),
    ],
)
def test_ctrl_c_ends_a_run_with_one_line_from_one_process(error, rank, said, monkeypatch, shown):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shown(error) == said


@pytest.mark.parametrize(
    ("error", "said", "told"),
    [
        (InputError("index it again"), "planewise, process 1 of 2: index it again\n", "index it again"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero", "by zero"),
        (
            RuntimeError("[gloo/transport/tcp/pair.cc] reset by peer"),
            "1 of 2: another process has ended or",
            "reset by peer",
        ),
    ],
)
def test_one_of_two_processes_says_which_it_is(error, said, told, tmp_path, monkeypatch, shown):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    environment = {"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_ERROR_FILE": str(tmp_path / "error.json")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert said in shown(wrapped(error))
    # a process that has lost a connection waits, so that the process with the cause prints first
    assert waited == ([5.0] if "gloo" in str(error) else [])
    # the file that torchrun reads to show the cause
    message = json.loads((tmp_path / "error.json").read_text())["message"]
    assert message["extraInfo"]["py_callstack"].startswith("planewise, process 1 of 2: ") and told in message["message"]
