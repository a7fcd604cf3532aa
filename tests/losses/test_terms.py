"""Test the named terms of losses, and rows that are gathered from all processes."""

from __future__ import annotations

import torch
from planewise.losses import MultiLabelBCELoss, MultitaskLoss, SegmentationLoss, Term, TermLoss, logged_terms
from planewise.losses.terms import gathered, mean_over_known
from torch import nn

from tests.processes import in_processes


class Sum(TermLoss):
    """Two terms: twice the mean of the prediction, and the mean of its square."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def terms(self, prediction, target):
        self.calls += 1
        return [
            Term(prediction.mean(), prediction.numel(), weight=2.0, name="linear"),
            Term(prediction.square().mean(), prediction.numel(), weight=0.5, name="square"),
        ]


def test_the_loss_is_the_weighted_sum_and_computed_once():
    prediction = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = Sum()
    value = loss(prediction, None)
    # 2 * 2 + 0.5 * 5
    assert float(value) == 6.5 and loss.calls == 1
    value.backward()
    # 2 * 1/2 + 0.5 * 2x/2
    assert prediction.grad.tolist() == [1.5, 2.5]


def test_the_log_has_means_without_weights_and_no_graph():
    loss = Sum()
    assert logged_terms(loss) == {}
    loss(torch.tensor([1.0, 3.0], requires_grad=True), None)
    logged = logged_terms(loss)
    assert {name: float(mean) for name, mean in logged.items()} == {"linear": 2.0, "square": 5.0}
    assert not any(mean.requires_grad for mean in logged.values())


def test_validation_leaves_what_the_last_step_said():
    loss = Sum()
    loss(torch.tensor([1.0, 3.0]), None)
    with torch.no_grad():
        assert float(loss(torch.tensor([7.0]), None)) == 14 + 24.5
    assert float(logged_terms(loss)["linear"]) == 2.0


def test_counts_are_of_what_is_known():
    heatmaps = torch.zeros(3, 2, 4, 4)
    heatmaps[0, 1] = torch.nan
    target = {"heatmaps": heatmaps, "location": torch.tensor([0.5, torch.nan, torch.nan])}
    multitask = MultitaskLoss(0.5, 2.0).terms(torch.ones(3, 3, 4, 4), target)
    # five heatmaps with an error of 1, and one location with an error of 0.5
    assert [(term.name, term.weight, float(term.mean), int(term.count)) for term in multitask] == [
        ("orientation", 0.5, 1.0, 5),
        ("location", 2.0, 0.25, 1),
    ]
    labels = torch.tensor([[0.0, 1.0], [1.0, torch.nan]])
    (term,) = MultiLabelBCELoss(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).terms(torch.zeros(2, 2), labels)
    assert int(term.count) == 3
    (pixels,) = SegmentationLoss(nn.Conv2d(1, 1, 1), l1=0).terms(torch.zeros(2, 3, 4, 5), torch.zeros(2, 1, 4, 5))
    assert pixels.count == 40


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


def weighed(rank: int) -> dict[str, torch.Tensor]:
    """Each process multiplies the rows of all processes by its own weights."""
    rows = (torch.arange(4.0).reshape(2, 2) + 10 * rank).requires_grad_(True)
    everyone = gathered(rows)
    (everyone * (torch.arange(8.0).reshape(4, 2) + 100 * rank)).sum().backward()
    return {"rows": everyone.detach(), "gradient": rows.grad}


def test_the_rows_of_all_and_the_gradients_of_all():
    found = in_processes(weighed)
    for process in found:
        assert process["rows"].tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
    # the sum of a row's weights in both processes: w and w + 100
    assert found[0]["gradient"].tolist() == [[100, 102], [104, 106]]
    assert found[1]["gradient"].tolist() == [[108, 110], [112, 114]]
