"""Test probes of a task's labels on a frozen network: which exams and images they learn from, and what they write."""

from __future__ import annotations

import json

import pytest
import torch
from planewise.data import select_subjects
from planewise.errors import InputError
from planewise.evaluation import frozen_features, probe_labels
from planewise.metrics import grade_kappa
from torch import nn


class Exams(torch.utils.data.Dataset):
    """A dataset that returns whole batches of exams: image ``(B, 4)`` and label."""

    def __init__(self, images, labels, name="exam"):
        self.images, self.labels = images, labels
        self.items = [{"exam": f"{name}{row}"} for row in range(len(images))]

    def __len__(self):
        return len(self.items)

    def __getitems__(self, rows):
        return {"image": self.images[rows], "label": self.labels[rows]}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 6)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Sequential(nn.Linear(6, 2))

    def forward(self, image):
        return self.head(self.dropout(self.encoder(image)))


@pytest.fixture
def exams():
    torch.manual_seed(1)
    images = torch.randn(70, 4)
    grades = (images[:, 0] > -0.4).long() + (images[:, 0] > 0.4).long()
    return Exams(images[:40], grades[:40]), Exams(images[40:], grades[40:], "test")


def cumulative(grades):
    return (grades[:, None] > torch.arange(2)).float()


def test_probes_learn_from_the_exams_of_a_fine_tuning_and_see_what_the_head_sees(exams, tmp_path, monkeypatch):
    fitted, scored = exams
    network = Net().train()
    seen = []
    monkeypatch.setattr(
        frozen_features, "linear_probe", lambda *given: seen.append(given) or given[1][:1].expand(30, 2)
    )
    found = probe_labels(network, fitted, scored, grade_kappa, [4, 9], 3, tmp_path, "kappa", cumulative, batch_size=7)
    assert network.training
    with torch.no_grad():
        features, queries = network.encoder(fitted.images), network.encoder(scored.images)
    cases = [(count, draw) for count in (4, 9) for draw in range(3)]
    assert len(seen) == len(cases)
    for (count, draw), (given, targets, others) in zip(cases, seen, strict=True):
        rows = [int(item["exam"][4:]) for item in select_subjects(fitted.items, count, draw)]
        assert len(rows) == count
        assert torch.allclose(given, features[rows]) and torch.allclose(others, queries)
        assert torch.equal(targets, cumulative(fitted.labels[rows]))
    assert json.loads((tmp_path / "metrics.json").read_text()) == found
    assert found["score"] == "kappa" and (found["features"], found["exams"]) == (6, 30)
    assert found["linear"].keys() == {"4", "9"} and all(len(scores) == 3 for scores in found["linear"].values())


def test_more_exams_than_there_are_is_refused_before_the_network_runs(exams, tmp_path):
    network = Net()
    network.encoder = None
    with pytest.raises(InputError, match="41 subjects were requested, but the section has 40"):
        probe_labels(network, *exams, grade_kappa, [4, 41], 2, tmp_path, targets=cumulative)
    assert not (tmp_path / "metrics.json").exists()
