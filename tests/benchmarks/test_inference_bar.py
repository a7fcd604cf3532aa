from __future__ import annotations

import logging

import pytest
import torch
from bars import inference
from ignite.engine import Events
from timing import Options


@pytest.fixture(scope="module")
def exam(tmp_path_factory) -> inference._Exam:
    return inference._Exam(tmp_path_factory.mktemp("exam"), 2, small=True)


@pytest.mark.parametrize(("case", "bundle"), inference.CASES.items())
def test_every_step_runs_in_memory(case, bundle, exam):
    whole = inference._Inference(bundle, exam, 2, "cpu", inference.TINY)
    slices = exam.volumes[0]["image"].shape[-1]
    assert whole.slices.shape == (2 * slices, 1, 96, 96)
    outputs = []
    whole.evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.extend(engine.state.output))
    whole.run()
    assert not exam.output_dir.exists(), "nothing is written"
    assert [tuple(output["pred"].shape) for output in outputs] == [
        (1, *volume["image"].shape) for volume in exam.volumes
    ]
    if case == "segmentation":
        assert set(outputs[0]["pred"].unique().tolist()) == {0, 1, 2, 3}
    else:
        # the benchmark replaces the network's output by the exam's own planes, so inference must find them
        assert [view["verdict"] for view in outputs[0]["plan"]["views"].values()] == ["plane", "plane"]


def test_the_bare_network_gets_the_same_slices(exam):
    whole = inference._Inference(inference.CASES["segmentation"], exam, 2, "cpu", inference.TINY)
    seen = []
    whole.network.register_forward_hook(lambda module, given, result: seen.append(given[0].clone()))
    whole.bare()
    bare, seen[:] = torch.cat(seen), []
    whole.run()
    assert torch.equal(torch.cat(seen), bare)


def test_bars(exam, monkeypatch, request):
    # the module silences Ignite, which must not last beyond this test
    request.addfinalizer(lambda: logging.getLogger("ignite").setLevel(logging.NOTSET))
    monkeypatch.setattr(inference, "_Exam", lambda *_, **__: exam)
    bars = inference.measure(Options(repetitions=2, quick=True))
    assert len({bar.name for bar in bars}) == len(bars) == 2
    assert all(bar.value > 0 for bar in bars)
