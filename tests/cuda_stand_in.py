"""A stand-in for a GPU that refuses what a GPU refuses, and what would make the host wait.

Tensors of the ``meta`` device represent tensors in the GPU's memory. They have no values, so an operation that fetches one
(``item``, ``if``, ``cpu``) or mixes devices is an error. ``meta`` allows some operations for which CUDA makes the
host wait; these are refused here, each according to its page in PyTorch's documentation or to its CUDA source.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import planewise.data.to_device  # noqa: F401
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WITHOUT_VALUES = torch.device("meta")

#: Operations whose result has a size that depends on values, or that read a value before they continue.
_FETCH = {
    *(aten._unique, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.unique_dim_consecutive),
    *(aten.nonzero, aten.masked_select, aten.equal, aten.bincount, aten.histc, aten._ctc_loss),
    *(aten._local_scalar_dense, aten._linalg_check_errors, aten._linalg_eigh, aten.linalg_eig, aten._linalg_svd),
    *(aten.linalg_lstsq, aten.linalg_cholesky_ex),
}


class Waits(TorchDispatchMode):
    """Refuse operations that make the host wait for the device, although tensors without values would accept them."""

    def __init__(self) -> None:
        super().__init__()
        self._pinned: list[Tensor] = []  # kept, so that no other tensor gets their memory

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        overload = function.overloadpacket
        if overload is aten.is_pinned:
            return self._is_pinned(args[0])
        if overload is aten._pin_memory:
            # PyTorch does the same: it refuses elements that share memory
            return self._pin(torch.empty_strided(args[0].size(), args[0].stride(), dtype=args[0].dtype).copy_(args[0]))
        if kwargs.pop("pin_memory", False):
            return self._pin(function(*args, **kwargs))
        on_device = any(
            isinstance(value, Tensor) and value.device == WITHOUT_VALUES for value in (*args, *kwargs.values())
        )
        if on_device:
            assert overload not in _FETCH, f"the host waits for {function}"
            assert not self._fetches(function, args, kwargs), f"the host waits for {function}"
        if overload in (aten._to_copy, aten.copy_):
            self._check_copy(function, args, kwargs)
        if overload in (aten.index, aten.index_put_, aten.index_put, aten._index_put_impl_) and on_device:
            indices = [index for index in args[1] if index is not None]
            assert all(index.device == WITHOUT_VALUES for index in indices), "an index on the host"
            masked = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
            # a single number for all chosen elements is written without counting them
            fills = overload is not aten.index and args[2].numel() == 1
            assert fills or not masked, f"the host waits for {function}: it counts the elements that a mask selects"
        return function(*args, **kwargs)

    def _pin(self, tensor: Tensor) -> Tensor:
        self._pinned.append(tensor)
        return tensor

    def _is_pinned(self, tensor: Tensor) -> bool:
        memory = tensor.untyped_storage().data_ptr()
        return any(memory == pinned.untyped_storage().data_ptr() for pinned in self._pinned)

    def _check_copy(self, function, args, kwargs) -> None:
        if function.overloadpacket is aten._to_copy:
            source, target = args[0], kwargs.get("device") or args[0].device
        else:
            source, target = args[1], args[0].device
        if source.device.type == "cpu" and target == WITHOUT_VALUES:
            assert kwargs.get("non_blocking") or (len(args) > 2 and args[2]), f"the host waits for {function}"
            assert self._is_pinned(source), f"{function} from memory that is not pinned"

    @staticmethod
    def _fetches(function, args, kwargs) -> bool:
        if function is aten.repeat_interleave.Tensor:
            return kwargs.get("output_size") is None
        if function.overloadpacket is aten.multinomial:  # without replacement, PyTorch reads the weights to check them
            return not (args[2] if len(args) > 2 else kwargs.get("replacement", False))
        # PyTorch checks whether a deviation is negative
        return function in (aten.normal.Tensor_Tensor, aten.normal.float_Tensor)


class Literals(TorchFunctionMode):
    """Refuse to make tensors on the device from Python numbers, because each needs a copy for which the host waits."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            assert result.device != WITHOUT_VALUES or isinstance(args[0], torch.Tensor), f"{function} on the device"
        return result


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """In this context, an operation on tensors of ``WITHOUT_VALUES`` fails if CUDA would refuse it or if the host would
    wait for it.
    """
    # get the module, because the package's attribute of that name may be the function
    module = sys.modules["planewise.data.to_device"]
    with mock.patch.object(module, "PINNED", (WITHOUT_VALUES.type,)), Waits(), Literals():
        yield
