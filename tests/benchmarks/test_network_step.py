from __future__ import annotations

import math

import pytest
import torch
from bars import network_step
from bars.network_step import Form, Size
from timing import Options

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured() -> list:
    """The bars without compilation, which takes long and has its own test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_step, "default_form", lambda device: Form("bfloat16", channels_last=True))
        patch.setattr(network_step, "_compiled", lambda form, size, device, options: missing(form, size))
        return network_step.measure(Options(repetitions=2, quick=True))


def missing(form: Form, size: Size):
    return network_step.Bar(f"{size.name}: {form}, left out", None)


def test_what_is_measured(measured):
    bars = {bar.name: bar for bar in measured if bar.value is not None}
    assert len(bars) == sum(bar.value is not None for bar in measured), "each has a name of its own"
    forms = ("float32, channels last", "bfloat16", "bfloat16, channels last")
    for size in ("demo", "paper"):
        assert bars[f"{size}: float32"].unit == "ms"
        for form in forms:
            assert math.isfinite(bars[f"{size}: {form} / float32"].value)
        assert math.isfinite(bars[f"volumes, {size}: channels last / first"].value)
    promised = [name for name, bar in bars.items() if bar.limit is not None]
    assert promised == [f"{size}: bfloat16, channels last / float32" for size in ("demo", "paper")]
    assert all(bars[name].limit == 0.63 for name in promised)


def test_every_form_is_the_same_step():
    size = Size("tiny", (4, 8), 2, 32, 2)
    losses = {}
    for form in (Form(), Form(channels_last=True), Form("bfloat16"), Form("bfloat16", channels_last=True)):
        step = network_step.Step(form, size, CPU)
        for _ in range(3):
            step()
        losses[str(form)] = [float(term.mean) for term in step.loss.last_terms]
    assert losses["float32, channels last"] == pytest.approx(losses["float32"], rel=1e-4)
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]


def test_both_forms_of_volumes_are_the_same_step():
    image = torch.randn(2, 4, 8, 8, 8)
    last, first = (network_step.VolumeStep((4, 8), image, channels_last) for channels_last in (True, False))
    weight = last.network.encoder.levels[0].conv1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d) and not weight.is_contiguous()
    assert [float(last()) for _ in range(3)] == pytest.approx([float(first()) for _ in range(3)], rel=1e-3)
