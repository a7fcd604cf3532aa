"""Test that two processes compute the same loss as one process with the whole batch."""

from __future__ import annotations

import pytest
import torch
from planewise.losses import MultiLabelBCELoss, MultitaskLoss, logged_terms
from planewise.losses.terms import mean_over_known

from tests.processes import in_processes

TRAINING_LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1.0]])


def batch() -> dict[str, torch.Tensor]:
    """Eight samples; few targets are known for the first process's samples (0, 2, 4, 6)."""
    generator = torch.Generator().manual_seed(0)
    made = {
        "maps": torch.rand(8, 3, 6, 5, generator=generator),
        "heatmaps": torch.rand(8, 2, 6, 5, generator=generator),
        "location": torch.rand(8, generator=generator),
        "logits": torch.randn(8, 3, generator=generator),
        "label": (torch.rand(8, 3, generator=generator) < 0.5).float(),
    }
    made["heatmaps"][[0, 2, 4]] = torch.nan
    made["heatmaps"][6, 1] = torch.nan
    made["location"][[0, 2, 3]] = torch.nan
    made["label"][::2, 1:] = torch.nan
    return made


def losses(samples: slice) -> dict[str, torch.Tensor]:
    """Both losses on some of the samples, and the gradients of a weight by which all predictions are multiplied."""
    held = {name: value[samples] for name, value in batch().items()}
    scale = torch.ones(3, requires_grad=True)
    multitask, findings = MultitaskLoss(0.5, 2.0), MultiLabelBCELoss(TRAINING_LABELS)
    target = {"heatmaps": held["heatmaps"], "location": held["location"]}
    pretext = multitask(held["maps"] * scale[:, None, None], target)
    (pretext + findings(held["logits"] * scale, held["label"])).backward()
    with torch.no_grad():
        without = findings(held["logits"], held["label"])
    parts = torch.stack(list(logged_terms(multitask).values()))
    return {"pretext": pretext.detach(), "parts": parts, "gradient": scale.grad, "no_grad": without}


def share(rank: int) -> dict[str, torch.Tensor]:
    found = losses(slice(rank, None, 2))
    if rank == 0:
        # the other process does not call the loss, and this one must not wait for it
        with torch.no_grad():
            mean_over_known(torch.tensor(3.0), torch.tensor([True, False]))
    return found


def test_the_mean_over_the_processes_is_the_loss_of_the_whole_batch():
    alone = losses(slice(None))
    shares = in_processes(share)
    for name in ("pretext", "parts", "gradient"):
        mean = (shares[0][name] + shares[1][name]) / 2
        assert torch.allclose(mean, alone[name], rtol=1e-6), name
    assert not torch.allclose(shares[0]["pretext"], shares[1]["pretext"], rtol=0.1)
    for rank in range(2):
        held = {name: value[rank::2] for name, value in batch().items()}
        assert torch.equal(shares[rank]["no_grad"], MultiLabelBCELoss(TRAINING_LABELS)(held["logits"], held["label"]))


def test_nothing_known():
    mean, known = mean_over_known(torch.tensor(0.0), torch.zeros(3, dtype=torch.bool))
    assert float(mean) == 0 and int(known) == 0
    assert float(mean_over_known(torch.tensor(6.0), torch.tensor([True, True, False]))[0]) == pytest.approx(3)
