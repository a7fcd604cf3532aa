from __future__ import annotations

import torch
from ignite.engine import Engine
from planewise.engines import SameBuffersHandler

from tests.processes import in_processes


def mean_that_is_validated(rank: int) -> torch.Tensor:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[1].running_mean.fill_(rank + 1.0)
    evaluator = Engine(lambda engine, batch: network[1].running_mean.clone())
    SameBuffersHandler(network).attach(evaluator)
    # one process validates more samples than the other
    evaluator.run([0] * (rank + 1))
    return evaluator.state.output


def test_the_first_processs_statistics_are_validated_by_all():
    assert [found.tolist() for found in in_processes(mean_that_is_validated)] == [[1, 1], [1, 1]]


def test_alone_nothing_changes():
    assert mean_that_is_validated(0).tolist() == [1, 1] and mean_that_is_validated(1).tolist() == [2, 2]
