"""Test that an error ends a run with one readable line, and with torchrun's error file."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.engines import plain_errors
from planewise.engines.write_run import write_run
from planewise.errors import InputError
from planewise.losses import SegmentationLoss


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
    [(InputError("index it again"), "planewise: index it again\n"), (ZeroDivisionError("by zero"), None)],
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
    ("error", "also", "left"),
    [
        (InputError("index it again"), None, ["notes"]),
        (InputError("index it again"), "history.csv", ["config.yaml", "history.csv", "notes", "run.json", "run.lock"]),
        (ZeroDivisionError(), None, ["config.yaml", "notes", "run.json", "run.lock"]),
        (KeyboardInterrupt(), None, ["config.yaml", "notes", "run.json", "run.lock"]),
    ],
)
def test_a_refused_run_leaves_no_file_of_its_own(error, also, left, tmp_path, shown):
    old, new = tmp_path / "old", tmp_path / "new/run"
    old.mkdir()
    (old / "notes").write_text("")
    for folder in (old, new):
        write_run(folder, {}, True, {}, {}, folder / "models")
    if also:
        (old / also).write_text("")
    shown(error)
    assert sorted(path.name for path in old.iterdir()) == left
    assert new.parent.exists() != isinstance(error, InputError)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"made": {"_target_": "planewise.networks.SliceNett"}},
            "'planewise.networks.SliceNett'; if it is code of your own, add its folder to PYTHONPATH; PLANEWISE_DEBUG",
        ),
        ({"made": {"_target_": "torch.nn.ReLU", "inplaces": 1}}, "got an unexpected keyword argument 'inplaces'"),
        ({"made": {"_target_": "torch.nn.Linear", "in_features": 1}}, "missing 1 required positional argument"),
        (
            {"made": {"_target_": "torch.nn.ReLU", "inplace": "@in_places"}, "in_place": True},
            "`@in_places` is not defined in the config content, but made refers to it (did you mean @in_place?); ",
        ),
        ({"made": "@mode"}, "but made refers to it"),
        ({"made": "@other", "other": "@made"}, "circular references"),
        (
            {
                "made": {
                    "_target_": "monai.networks.nets.UNet",
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "out_channels": 1,
                    "channels": [4],
                    "strides": [],
                }
            },
            "overrides: UNet: the length of `channels` should be no less than 2; ",
        ),
        ({"made": "$1 / 0"}, None),
    ],
)
def test_a_slip_in_a_configuration_is_a_line(change, said, shown):
    parser = ConfigParser({"made": 1} | change)
    with pytest.raises(Exception) as caught:  # several kinds of errors from MONAI
        parser.get_parsed_content("made")
    text = shown(caught.value)
    if said is None:
        assert "ZeroDivisionError" in text
    else:
        assert text.startswith("planewise: a mistake in the configuration or its overrides: ") and said in text
        assert text.count("\n") == 1 and text.endswith("; PLANEWISE_DEBUG=1 shows where\n")


def _one_value():
    torch.nn.BatchNorm2d(2)(torch.rand(1, 2, 1, 1))


def _one_element():
    torch.nn.InstanceNorm2d(2)(torch.rand(4, 2, 1, 1))


def _much_memory():
    torch.empty(2**48)


def _much_memory_on_windows():
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:126] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 B"
    )


def _much_memory_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB. GPU 0 has a total capacity of 15 GiB")


def _many_numbers():
    np.empty(2**48)


def _no_class():
    SegmentationLoss(torch.nn.Conv2d(1, 3, 1)).terms(torch.rand(1, 3, 2, 2), torch.full((1, 1, 2, 2), 4))


def _no_class_on_a_gpu():
    raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (_no_class, "planewise: a label or mask has the value 4, which is not a class of the network; .* --structures"),
        (_no_class_on_a_gpu, "planewise: the GPU refused an index .*; run it with --device cpu, which names the value"),
        (_one_value, "planewise: normalisation needs more than one number .*; raise --image_size or --batch_size"),
        (_one_element, "planewise: normalisation needs more than one number .*; raise --image_size or --batch_size"),
        *(
            (asked, r"planewise: this run needs more memory than available \(.*allocate.*\); lower --batch_size")
            for asked in (_much_memory, _much_memory_on_windows, _much_memory_on_a_gpu)
        ),
        (
            _many_numbers,
            r"planewise: this run needs more memory than available \(Unable to allocate.*\); lower --batch_size",
        ),
    ],
)
def test_settings_beyond_pytorch_say_which_to_change(asked, said, shown):
    with pytest.raises((ValueError, RuntimeError, MemoryError, IndexError)) as caught:
        asked()
    text = shown(caught.value)
    assert re.match(said, text) and text.count("\n") == 1


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
