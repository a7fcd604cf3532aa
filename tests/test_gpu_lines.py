"""Test the lines that `tools/test --gpu` prints for each bundle."""

from __future__ import annotations

import pytest
import torch

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("processes", [[], ["-n", "1"]], ids=["one process", "a worker"])
def test_a_line_for_each_bundle(processes, pytester, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    pytester.makeconftest("import torch; torch.cuda.is_available = lambda: True")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("kept", [True, False])
        @pytest.mark.parametrize("name", ["pretext_fine", "pretext_bad"])
        def test_step(name, kept):
            if name == "pretext_bad" and kept:
                raise RuntimeError("called a synchronizing CUDA operation")

        def test_two_processes():
            pytest.skip("needs two GPUs")
        """
    )
    lines = pytester.runpytest_inprocess("-p", "tests.gpu_lines", *processes).outlines
    said = lines[next(number for number, line in enumerate(lines) if "on the GPU" in line) + 1 :][:3]
    assert said[0] == "pretext_bad         FAILED 1 of 2: RuntimeError: called a synchronizing CUDA operation"
    assert said[1].startswith("pretext_fine        passed 2 of 2, ")
    assert said[2] == "test_two_processes  Skipped: needs two GPUs"


def test_without_a_gpu_it_says_so(pytester, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pytester.makepyfile("def test_step(): raise AssertionError")
    ended = pytester.runpytest_inprocess("-p", "tests.gpu_lines")
    assert ended.ret == 0
    assert any("PyTorch finds no CUDA device" in line for line in ended.outlines + ended.errlines)
