"""Test the engines for whole batches, the preparation of these batches, and the trainer of forests."""

from __future__ import annotations

from types import SimpleNamespace

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from ignite.metrics import Loss
from planewise.engines import BatchEvaluator, BatchTrainer, ForestTrainer, PrepareSliceBatch, PrepareStackBatch
from planewise.errors import InputError
from planewise.losses import SegmentationLoss
from planewise.metrics import pred_and_label
from planewise.networks import ForestNet
from sklearn.ensemble import RandomForestClassifier


class Batches(list):
    """Two slices of different exams in one batch; the dataset has a third, which comes first."""

    dataset = SimpleNamespace(items=[{"exam": "none"}, {"exam": "aaaa"}, {"exam": "bbbb"}])

    def __init__(self, value, **more):
        label = torch.ones(2, 1, 4, 4)
        label[1, 0, 2, 3] = value
        super().__init__([{"image": torch.rand(2, 1, 4, 4), "label": label, **more}])


@pytest.mark.parametrize("kind", ["trainer", "evaluator"])
def test_a_mask_value_that_is_not_a_class_is_refused(kind):
    network = torch.nn.Conv2d(1, 3, 1)
    loss = Loss(SegmentationLoss(network), output_transform=pred_and_label)
    evaluator = BatchEvaluator(
        device="cpu", val_data_loader=Batches(255), network=network, key_val_metric={"loss": loss}
    )
    with pytest.raises(InputError):
        (evaluator if kind == "evaluator" else trainer(3, batches=Batches(255))).run()


def trainer(outputs: int, loss=None, batches=None) -> BatchTrainer:
    network = torch.nn.Conv2d(1, outputs, 1)
    return BatchTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=batches or Batches(2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=loss or SegmentationLoss(network),
    )


def augment(batch: dict) -> dict:
    return {**batch, "image": batch["image"] + torch.rand(1)}


def prepared() -> tuple[torch.Tensor, torch.Tensor]:
    """The augmented image, and the random numbers that the network's dropout would draw next."""
    torch.manual_seed(7)
    image, _ = PrepareSliceBatch("label", augment)({"image": torch.zeros(2), "label": torch.zeros(2)}, "cpu")
    return image, torch.rand(4)


def in_processes(monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    monkeypatch.setattr(idist, "get_world_size", lambda: count)
    results = []
    for rank in range(count):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        results.append(prepared())
    return results


def test_processes_augment_from_one_seed_and_drop_from_their_own(monkeypatch):
    (image, after), (other_image, other_after) = in_processes(monkeypatch, 2)
    assert torch.equal(image, other_image)
    assert not torch.equal(after, other_after)
    # a repetition gives the same numbers
    assert torch.equal(in_processes(monkeypatch, 2)[1][1], other_after)


def test_the_pretext_is_made_of_the_augmented_batch():
    def doubled(batch: dict) -> dict:
        return {**batch, "twice": 2 * batch["image"]}

    batch = {"image": torch.zeros(2)}
    torch.manual_seed(7)
    image, twice = PrepareSliceBatch("twice", augment, doubled)(batch, "cpu")
    assert float(image[0]) > 0 and torch.equal(twice, 2 * image)
    image, twice = PrepareSliceBatch("twice", pretext=doubled)(batch, "cpu")
    assert torch.equal(image, batch["image"]) and torch.equal(twice, image)


def stacks() -> dict[str, torch.Tensor]:
    """Two stacks of four slices of 2 x 3 pixels; the second has three slices and one padded slice."""
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    return {"image": torch.arange(48.0).view(2, 4, 2, 3), "label": torch.tensor([1, 0]), "mask": mask}


def test_slices_become_the_depth_of_one_channel():
    given = stacks()
    image, label, arguments, named = PrepareStackBatch()(given, "cpu")
    assert image.shape == (2, 1, 2, 3, 4) and arguments == () and list(named) == ["mask"]
    for stack in range(2):
        for number in range(4):
            assert torch.equal(image[stack, 0, :, :, number], given["image"][stack, number])
    assert torch.equal(label, given["label"]) and torch.equal(named["mask"], given["mask"])


def test_the_augmentation_sees_the_slices_as_channels():
    seen = []

    def augment(given: dict) -> dict:
        seen.append(tuple(given["image"].shape))
        return {**given, "image": given["image"] + 1}

    image, *_ = PrepareStackBatch(augment)(stacks(), "cpu", non_blocking=True)
    assert seen == [(2, 4, 2, 3)] and float(image.min()) == 1


NAMES = ("volume", "mass", "age")


def exams(classes: int = 3) -> list[dict]:
    """Eight exams of each class; one feature depends partly on the class."""
    draw = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(3, generator=draw) + torch.tensor([label, 0, 0]),
            "label": torch.tensor(label),
            "exam": f"e{number}{label}",
            "group": "abc"[label],
        }
        for number in range(8)
        for label in range(classes)
    ]


def forest_trainer(folder, items: list[dict], seed: int = 0) -> ForestTrainer:
    return ForestTrainer(items, ForestNet(3, 3, num_trees=7), NAMES, folder / "run", folder / "run/models", seed)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_weights_are_scikit_learns_forest_of_this_seed(seed, tmp_path):
    items = exams()
    forest_trainer(tmp_path, items, seed).run()
    features = torch.stack([item["image"] for item in items]).numpy()
    forest = RandomForestClassifier(n_estimators=7, random_state=seed).fit(features, [int(i["label"]) for i in items])
    network = ForestNet(3, 3, num_trees=7)
    network.load_state_dict(torch.load(tmp_path / "run/models/model.pt", weights_only=True))
    new = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    assert network(torch.from_numpy(new)).numpy() == pytest.approx(forest.predict_proba(new), abs=1e-6)


def test_nothing_to_fit_is_an_error(tmp_path):
    with pytest.raises(InputError):
        forest_trainer(tmp_path, [{"image": torch.zeros(3), "exam": "e", "group": "a"}]).run()
    with pytest.raises(InputError):
        forest_trainer(tmp_path, exams(classes=2)).run()
