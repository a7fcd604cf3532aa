"""Test when a batch of the side stream begins and ends, with the stand-in's streams."""

from __future__ import annotations

import torch
from ignite.engine import Events
from planewise.data import BatchLoader
from planewise.engines import BatchTrainer
from torch import nn

from tests.cuda_stand_in import Streams


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitems__(self, indices):
        return {"image": torch.rand(len(indices), 1), "label": torch.rand(len(indices), 1)}


def prepare(batch, device=None, non_blocking=False, **_):
    return batch["image"] + torch.rand(1), batch["label"] * 2


def trainer_of(network, **arguments) -> BatchTrainer:
    return BatchTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=BatchLoader(Rows(), batch_size=1),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=nn.MSELoss(),
        prepare_batch=arguments.pop("prepare_batch", prepare),
        amp=False,
        **arguments,
    )


def test_a_batch_waits_for_the_step_before_the_one_that_runs():
    began, starts, ends = [], [], []

    class Network(nn.Linear):
        def forward(self, image):
            assert torch.cuda.current_stream() is streams.main
            starts.append(streams.main.seen[streams.main])
            assert streams.main.seen[side] == side.seen[side], "it waits for its batch"
            return super().forward(image)

    def noted(batch, *arguments, **_):
        assert torch.cuda.current_stream() is side
        began.append(side.seen[streams.main])
        return prepare(batch)

    with Streams() as streams:
        trainer = trainer_of(Network(1, 1), prepare_batch=noted, side_stream=True)
        side = trainer.prepare_batch.stream
        ended = Events.ITERATION_COMPLETED
        trainer.add_event_handler(ended, lambda _: ends.append(streams.main.seen[streams.main]))
        trainer.run()
    assert len(began) == len(ends) == 8
    for k in (2, 3, 6, 7):
        assert ends[k - 2] <= began[k] <= starts[k - 1] < ends[k - 1], "batch k overlaps with step k - 1 alone"
    assert began[4] >= ends[3], "the first batch of an epoch waits for all that came before"


def test_a_batch_that_another_stream_made():
    with Streams():
        trainer = trainer_of(nn.Linear(1, 1), side_stream=True)
        batch = Rows().__getitems__([0, 1])
        image, label = trainer.prepare_batch(batch, "cpu")
        assert image.shape == label.shape == (2, 1) and torch.equal(label, batch["label"] * 2)


def test_it_is_off_by_default_and_without_a_gpu():
    for trainer in (trainer_of(nn.Linear(1, 1)), trainer_of(nn.Linear(1, 1), side_stream=True)):
        assert trainer.prepare_batch is prepare and trainer.data_loader.wrap is None
