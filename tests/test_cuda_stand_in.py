"""Test that the stand-in for a GPU refuses what a GPU refuses and what makes the host wait, and nothing else."""

from __future__ import annotations

import pytest
import torch

from tests.cuda_stand_in import WITHOUT_VALUES, as_on_a_gpu


@pytest.mark.parametrize(
    ("wait", "error", "said"),
    [
        (lambda x: x.sum().item(), (RuntimeError, AssertionError), "item|waits"),
        (lambda x: x[x > 0], AssertionError, "waits"),
        (lambda x: x.__setitem__(x > 0, torch.empty(3, device=x.device)), AssertionError, "a mask selects"),
        (lambda x: x.unique(), AssertionError, "waits"),
        (lambda x: torch.linalg.inv(x.diag()), AssertionError, "waits"),
        (lambda x: torch.linalg.eigvalsh(x.diag()), AssertionError, "waits"),
        (lambda x: x.repeat_interleave(x.long()), AssertionError, "waits"),
        (lambda x: torch.multinomial(x, 2), AssertionError, "waits"),
        (lambda x: torch.normal(0.0, x), AssertionError, "waits"),
        (lambda x: x.cpu(), NotImplementedError, "copy out"),
        (lambda x: x + torch.ones(3), RuntimeError, "device"),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), AssertionError, "on the device"),
        (lambda x: torch.ones(3).to(x.device), AssertionError, "the host waits for"),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), AssertionError, "not pinned"),
        (lambda x: torch.ones(1).expand(3).pin_memory(), RuntimeError, "single memory location"),
        (lambda x: x[torch.tensor([0, 1])], AssertionError, "an index on the host"),
    ],
)
def test_refused(wait, error, said):
    with pytest.raises(error, match=said), as_on_a_gpu():
        wait(torch.empty(3, device=WITHOUT_VALUES))


@pytest.mark.parametrize(
    "go_on",
    [
        lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True),
        lambda x: torch.empty(3, pin_memory=True).to(x.device, non_blocking=True),
        lambda x: x[x.long()],
        lambda x: x.masked_fill(x > 0, 0.0),
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.repeat_interleave(2),
        lambda x: x.repeat_interleave(x.long(), output_size=5),
        lambda x: torch.linalg.inv_ex(x.diag()).inverse,
        lambda x: torch.multinomial(x, 2, replacement=True),
        lambda x: torch.nn.functional.cross_entropy(x, x.softmax(dim=0)),
    ],
)
def test_let_pass(go_on):
    with as_on_a_gpu():
        assert go_on(torch.empty(3, device=WITHOUT_VALUES)).device == WITHOUT_VALUES


def test_values_on_the_host_may_be_looked_at():
    with as_on_a_gpu():
        assert torch.tensor([3.0, 1.0, 3.0]).unique().tolist() == [1.0, 3.0]
