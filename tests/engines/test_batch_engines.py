"""Test the errors of the engines for whole batches."""

from types import SimpleNamespace

import pytest
import torch
from ignite.metrics import Loss
from planewise.engines import BatchEvaluator, BatchTrainer
from planewise.errors import InputError
from planewise.losses import SegmentationLoss
from planewise.metrics import pred_and_label


class Batches(list):
    """Two slices of different exams in one batch; the dataset has a third, which comes first."""

    dataset = SimpleNamespace(items=[{"exam": "none"}, {"exam": "aaaa"}, {"exam": "bbbb"}])

    def __init__(self, value, **more):
        label = torch.ones(2, 1, 4, 4)
        label[1, 0, 2, 3] = value
        super().__init__([{"image": torch.rand(2, 1, 4, 4), "label": label, **more}])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"index": torch.tensor([1, 2])}, "exam bbbb: its mask has the value 255, .*`planewise index` names the files"),
        ({}, "Target 255 is out of bounds"),
    ],
)
def test_a_value_that_is_not_a_class_names_its_exam(more, said):
    network = torch.nn.Conv2d(1, 3, 1)
    loss = Loss(SegmentationLoss(network), output_transform=pred_and_label)
    evaluator = BatchEvaluator(
        device="cpu", val_data_loader=Batches(255, **more), network=network, key_val_metric={"loss": loss}
    )
    with pytest.raises(InputError if more else IndexError, match=said):
        evaluator.run()
    trainer = BatchTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=Batches(255, **more),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=SegmentationLoss(network),
    )
    with pytest.raises(InputError if more else IndexError, match=said):
        trainer.run()
