"""Test the errors of the engines for whole batches."""

from types import SimpleNamespace

import pytest
import torch
from ignite.metrics import Loss
from monai.engines.utils import IterationEvents
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


def test_no_step_adds_to_gradients_of_the_step_before():
    """Adding to them would take one more kernel for each weight."""
    training, found = trainer(3, batches=[*Batches(2), *Batches(1)]), []
    training.add_event_handler(
        IterationEvents.FORWARD_COMPLETED,
        lambda: found.append([weight.grad for weight in training.network.parameters()]),
    )
    training.run()
    assert found == [[None, None]] * 2 and training.network.weight.grad.abs().sum() > 0
