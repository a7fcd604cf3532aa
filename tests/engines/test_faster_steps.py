"""Test the decisions to compile a network or to record CUDA graphs, on a CPU that stands in for a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from planewise.engines import handlers, inferers
from planewise.engines.checkpoints import LAST
from planewise.engines.handlers import FasterSteps
from planewise.networks import place_network
from planewise.networks.pretrained import compile_steps
from torch import nn
from torch._dynamo.backends.common import aot_autograd

from tests.engines.test_checkpoints import Run, same

LONG, EPOCH = 4, 5  # steps that are enough to compile, and those of an epoch


@pytest.fixture
def as_gpu(monkeypatch) -> list[torch.Size]:
    """The CPU counts as a GPU on which `LONG` steps are enough to compile; returns the shapes of compiled calls."""
    monkeypatch.setattr(inferers, "KINDS", ("cpu",))
    monkeypatch.setattr(handlers, "COMPILED", LONG)
    monkeypatch.setattr(handlers, "find_spec", lambda name: name)
    monkeypatch.setattr("shutil.which", lambda name: name if name == "gcc" else None)
    shapes: list[torch.Size] = []

    def quickly(self, **_):
        def compiled(image):
            shapes.append(image.shape)
            return self._call_impl(image) * 1.0001  # other rounding

        self._compiled_call_impl = compiled

    monkeypatch.setattr(nn.Module, "compile", quickly)
    return shapes


class AutoRun(Run):
    """A short training, of a network that was placed with ``auto``."""

    def __init__(self, folder, compiled: bool | str = "auto"):
        super().__init__(folder)
        self.trainer.state.device, self.trainer.network = torch.device("cpu"), self.network
        place_network(self.network, "cpu", compiled=compiled)
        FasterSteps(self.network).attach(self.trainer)


def test_a_resumed_run_follows_the_decision_of_its_start(as_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "COMPILED", 4 * EPOCH)
    unbroken = AutoRun(tmp_path / "a").go(4)
    assert len(as_gpu) == 4 * EPOCH
    first = AutoRun(tmp_path / "b")
    first.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), lambda engine: engine.terminate())
    first.go(4)
    as_gpu.clear()
    assert same(unbroken, AutoRun(tmp_path / "b").go(4)), "fewer steps are left, but the run is compiled"
    assert len(as_gpu) == EPOCH
    # a short run that is continued stays as it is
    AutoRun(tmp_path / "c").go(1)
    as_gpu.clear()
    monkeypatch.setattr(handlers, "COMPILED", EPOCH)
    AutoRun(tmp_path / "c").go(4)
    assert not as_gpu


@pytest.mark.parametrize("before", ["false", "an older version", "a CPU"])
def test_a_run_that_begins_anew_on_a_gpu_decides_by_the_steps_that_are_left(before, as_gpu, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(inferers, "KINDS", ("cuda",))
        AutoRun(tmp_path, compiled=False if before == "false" else "auto").go(1)
    if before == "an older version":
        saved = torch.load(tmp_path / LAST, weights_only=True)
        del saved["compiled"]
        torch.save(saved, tmp_path / LAST)
    AutoRun(tmp_path).go(2)
    assert len(as_gpu) == (EPOCH if before == "a CPU" else 0)


def test_with_fewer_steps_on_a_cpu_or_with_several_processes_nothing_is_compiled(as_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "COMPILED", EPOCH + 1)
    run = AutoRun(tmp_path / "a")
    run.go(1)
    assert run.network.compiled is False
    with monkeypatch.context() as patch:
        patch.setattr(inferers, "KINDS", ("cuda",))
        run = AutoRun(tmp_path / "c")
        run.go(2)
        assert run.network.compiled is None
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    run = AutoRun(tmp_path / "b")
    run.trainer.run(range(EPOCH), max_epochs=2)
    assert not as_gpu and run.network.compiled is None


@pytest.mark.parametrize("missing", ["find_spec", "shutil.which"])
def test_without_triton_or_a_c_compiler_nothing_is_compiled(missing, as_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(missing if "." in missing else f"{handlers.__name__}.{missing}", lambda name: None)
    AutoRun(tmp_path).go(1)
    assert not as_gpu


@pytest.mark.parametrize(("compiled", "rows"), [(True, [4, 4]), ([[3, 2]], [3])])
def test_only_training_steps_of_the_runs_first_shape_are_compiled(compiled, rows, as_gpu):
    network = place_network(nn.Linear(2, 1), "cpu", compiled="auto")
    network.compiled = compiled
    compile_steps(network)
    for each in (4, 3, 4):
        network(torch.rand(each, 2))
    network.eval()(torch.rand(4, 2))
    with torch.no_grad():
        network.train()(torch.rand(4, 2))
    assert as_gpu == [torch.Size([each, 2]) for each in rows] and network.compiled == [[rows[0], 2]]


def test_a_network_that_cannot_be_compiled_runs_as_it_is(as_gpu, tmp_path, monkeypatch):
    plain = Run(tmp_path / "a").go(2)

    def fails(self, **_):
        def compiled(image):
            raise ValueError("no Python.h")

        self._compiled_call_impl = compiled

    monkeypatch.setattr(nn.Module, "compile", fails)
    run = AutoRun(tmp_path / "b")
    assert same(plain, run.go(2)) and run.network.compiled is False


def test_a_network_whose_gradient_cannot_be_compiled_runs_as_it_is(monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("no code for this gradient")

    backend, usual = aot_autograd(fw_compiler=lambda graph, inputs: graph.forward, bw_compiler=fails), nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **given: usual(self, backend=backend, **given))
    network = place_network(Two(), "cpu", compiled="auto")
    network.compiled = True
    compile_steps(network)
    network(torch.rand(4, 2)).sum().backward()
    assert network.compiled is False


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, rows):
        return self.second(torch.relu(self.first(rows)))


@pytest.mark.parametrize(
    ("launching", "memory", "least", "expected"),
    [
        (0.95, 0.03, 20, "auto"),  # the GPU waits for the processor
        (0.5, 0.03, 20, None),  # the GPU still computes when all kernels are launched
        (0.95, 0.6, 20, None),  # graphs would need too much memory
        (0.95, 0.03, 21, None),  # there are too few steps
    ],
)
def test_one_step_tells_whether_the_gpu_waits(launching, memory, least, expected, as_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "COMPILED", 1000)
    monkeypatch.setattr(handlers, "RECORDED", least)
    readings, waits = iter((0, launching, 1)), []
    monkeypatch.setattr(handlers, "perf_counter", lambda: next(readings))
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: memory)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1))
    run = AutoRun(tmp_path / "a")
    assert same(Run(tmp_path / "b").go(4), run.go(4))
    assert getattr(run.network, "cuda_graphs", None) == expected
    assert len(waits) == (2 if least == 20 else 0)
