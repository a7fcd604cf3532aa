"""Test the errors of the engines for whole batches."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import MagicMock

import monai
import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Loss
from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.engines.utils import IterationEvents
from monai.handlers import (
    CheckpointSaver,
    MeanDice,
    MeanIoUHandler,
    MeanSquaredError,
    MetricLogger,
    StatsHandler,
    TensorBoardImageHandler,
    TensorBoardStatsHandler,
    ValidationHandler,
)
from planewise.engines import BatchEvaluator, BatchTrainer, batch_engines
from planewise.engines.handlers import FiniteLossHandler
from planewise.errors import InputError
from planewise.losses import SegmentationLoss
from planewise.metrics import EpochScore, pred_and_label


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
        ({"index": torch.tensor([1, 2])}, "exam bbbb: its mask has the value 255"),
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


@pytest.mark.parametrize(("outputs", "fits"), [(2, False), (3, True), (5, False)])
def test_a_network_with_a_wrong_number_of_outputs_is_refused_before_a_step(outputs, fits, monkeypatch):
    """Too few would look like a wrong mask, and too many would be trained."""
    parser = ConfigParser({"structures": "$dict(one='1', two='2')"})
    monkeypatch.setattr(batch_engines, "running_parser", lambda: parser)
    training = trainer(outputs)
    before = training.network.weight.detach().clone()
    if fits:
        training.run()
        return
    with pytest.raises(InputError):
        training.run()
    assert torch.equal(before, training.network.weight)


def test_no_step_adds_to_gradients_of_the_step_before():
    """Adding to them would take one more kernel for each weight."""
    training, found = trainer(3, batches=[*Batches(2), *Batches(1)]), []
    training.add_event_handler(
        IterationEvents.FORWARD_COMPLETED,
        lambda: found.append([weight.grad for weight in training.network.parameters()]),
    )
    training.run()
    assert found == [[None, None]] * 2 and training.network.weight.grad.abs().sum() > 0


def test_other_configs_and_networks_with_several_outputs_are_not_checked(monkeypatch):
    monkeypatch.setattr(batch_engines, "running_parser", lambda: ConfigParser({"views": ["2ch"]}))
    trainer(5).run()
    monkeypatch.setattr(batch_engines, "running_parser", lambda: ConfigParser({"structures": {"1": "LV"}}))
    several = trainer(3, loss=lambda prediction, target: prediction.mean())
    several.network.register_forward_hook(lambda module, images, output: output[:, None])  # deep supervision
    several.run()


def argmax(output):
    return output["pred"].argmax(1, keepdim=True), output["label"]


def one_hot(output):
    return [monai.networks.one_hot(values, 3) for values in argmax(output)]


def as_items(output):
    return [list(values) for values in one_hot(output)]


@pytest.mark.parametrize(
    ("metric", "fits"),
    [
        (MeanDice(output_transform=pred_and_label), False),
        (MeanDice(output_transform=argmax), False),
        (MeanDice(output_transform=argmax, num_classes=3), True),
        (MeanDice(output_transform=as_items), True),
        (MeanIoUHandler(output_transform=one_hot), True),
        (MeanSquaredError(output_transform=lambda output: (output["pred"], output["pred"])), True),
    ],
)
def test_a_metric_of_masks_gets_masks(metric, fits):
    network = torch.nn.Conv2d(1, 3, 1)
    torch.nn.init.constant_(network.weight, 0.3)
    network.bias.data = torch.tensor([0.0, 0.0, 1.0])  # the class 2 in every pixel
    evaluator = BatchEvaluator(
        device="cpu", val_data_loader=Batches(2), network=network, key_val_metric={"val_mean": metric}
    )
    with nullcontext() if fits else pytest.raises(InputError):
        evaluator.run()


def logging_handlers(folder):
    """MONAI's handlers that read an output, with their defaults and with the transforms that MONAI's users write."""
    mlflow = ConfigParser(DEFAULT_MLFLOW_SETTINGS["configs"] | {"bundle_root": str(folder), "is_not_rank0": False})
    loss = [None, monai.handlers.from_engine(["loss"], first=True), lambda output: output[0]["loss"]]
    settings = [{"output_transform": transform} if transform else {} for transform in loss]
    return [
        mlflow.get_parsed_content("trainer"),
        *(StatsHandler(**each) for each in settings),
        *(TensorBoardStatsHandler(log_dir=str(folder), **each) for each in settings),
        TensorBoardImageHandler(
            log_dir=str(folder),
            batch_transform=monai.handlers.from_engine(["image", "label"]),
            output_transform=monai.handlers.from_engine(["pred"]),
        ),
    ]


@pytest.mark.parametrize("more", [{}, {"decollate": True}, {"postprocessing": lambda item: item}])
def test_handlers_of_monai_read_the_output_of_a_step(more, tmp_path, monkeypatch):
    """MLflow itself is replaced, as it is not installed; its handler is MONAI's."""
    torch.manual_seed(0)
    client = MagicMock()
    monkeypatch.setattr("monai.handlers.mlflow_handler.mlflow", client)
    client.entities.Metric = lambda key, value, *_: (key, value)
    client.entities.LifecycleStage.ACTIVE = client.MlflowClient().get_experiment_by_name().lifecycle_stage
    logger, pairs = MetricLogger(), monai.handlers.from_engine(["pred", "label"])
    network = torch.nn.Conv2d(1, 1, 1)
    settings = {"device": "cpu", "network": network, **more}
    evaluator = BatchEvaluator(
        val_data_loader=Batches(1),
        val_handlers=logging_handlers(tmp_path)[4:5],
        key_val_metric={"val_error": MeanSquaredError(output_transform=pairs)},
        **settings,
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    training = BatchTrainer(
        max_epochs=2,
        train_data_loader=Batches(1),
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
        key_train_metric={"train_error": MeanSquaredError(output_transform=pairs)},
        train_handlers=[
            FiniteLossHandler(1),
            ValidationHandler(1, evaluator),
            *logging_handlers(tmp_path),
            logger,
            CheckpointSaver(str(tmp_path), {"network": network}, save_final=True, save_key_metric=True),
        ],
        **settings,
    )
    training.run()
    losses = [loss for _, loss in logger.loss]
    assert losses[0] > losses[1] > 0
    assert training.state.metrics["train_error"] == pytest.approx(losses[1])
    assert evaluator.state.metrics["val_error"] < losses[1]
    logged = [metric for call in client.MlflowClient().log_batch.call_args_list for metric in call.kwargs["metrics"]]
    assert [value for key, value in logged if key == "train_loss"] == losses
    assert {path.name for path in tmp_path.glob("*.pt")} >= {"network_final_iteration=2.pt"}
    assert training.state.output["loss"].item() == losses[1] and len(training.state.output) == 2


def correlation(prediction, target):
    if not prediction.isfinite().all():
        raise ValueError("Input X contains NaN")  # as scikit-learn does
    return 1.0


@pytest.mark.parametrize(("value", "diverged"), [(float("nan"), True), (1e30, True), (0.1, False)])
@pytest.mark.parametrize("score", [correlation, lambda prediction, target: 0.5])
def test_a_diverged_network_is_refused_before_anything_is_scored(value, diverged, score):
    network, scored = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Conv2d(2, 1, 1)), []
    for weights in network.parameters():
        torch.nn.init.constant_(weights, value)
    note = SimpleNamespace(attach=lambda engine: engine.add_event_handler(Events.EPOCH_COMPLETED, scored.append))
    evaluator = BatchEvaluator(
        device="cpu",
        val_data_loader=Batches(1),
        network=network,
        key_val_metric={
            "val_score": EpochScore(score, lambda output: (output["pred"].mean((1, 2, 3)), output["label"][:, 0, 0, 0]))
        },
        val_handlers=[note],
    )
    with pytest.raises(InputError, match="diverged") if diverged else nullcontext():
        evaluator.run()
    assert scored == ([] if diverged else [evaluator])
