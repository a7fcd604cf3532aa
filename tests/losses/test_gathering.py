from __future__ import annotations

import torch
from planewise.losses.gathering import gathered

from tests.processes import in_processes


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


def in_validation(rank: int) -> torch.Tensor:
    with torch.no_grad():
        return gathered(torch.full((2, 1), float(rank)))


def test_rows_stay_as_they_are_with_one_process_and_in_validation():
    rows = torch.ones(2, 1, requires_grad=True)
    assert gathered(rows) is rows
    assert [found.tolist() for found in in_processes(in_validation)] == [[[0], [0]], [[1], [1]]]
