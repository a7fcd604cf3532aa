"""A stand-in for a GPU that refuses what a GPU refuses, and what would make the host wait.

Tensors of the ``meta`` device represent tensors in the GPU's memory. They have no values, so an operation that fetches one
(``item``, ``if``, ``cpu``) or mixes devices is an error. ``meta`` allows some operations for which CUDA makes the
host wait; these are refused here, each according to its page in PyTorch's documentation or to its CUDA source.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import planewise.data.to_device  # noqa: F401
import torch
from planewise.engines import side_stream
from torch import Tensor, UntypedStorage
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

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


class Stream:
    """A CUDA stream that counts its own operations, and the operations of each other stream for which it has waited."""

    def __init__(self, device: Any = None) -> None:
        self.seen: Counter[Stream] = Counter()

    def wait_stream(self, other: Stream) -> None:
        self.seen |= other.seen


class Streams(TorchDispatchMode):
    """In this context, an operation on tensors on the CPU fails if it would go wrong with several streams of a GPU.

    An operation must not read what another stream writes until its own stream has waited for it. If a side stream
    allocated the memory, ``record_stream`` must have been called; otherwise, the side stream could use the memory again
    too early. Memory of the main stream is safe, because the main stream waits for each batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.main = self.current = Stream()
        # for each memory, the last write, and, if a side stream allocated it, the streams that use it according to the
        # allocator
        self._written: MutableMapping[UntypedStorage, tuple[Stream, int]] = WeakIdKeyDictionary()
        self._known: MutableMapping[UntypedStorage, set[Stream]] = WeakIdKeyDictionary()
        self._patches = ExitStack()

    def __enter__(self) -> Streams:
        cuda = {"Stream": Stream, "current_stream": lambda device=None: self.current, "stream": self._on}
        for name, value in cuda.items():
            self._patches.enter_context(mock.patch.object(torch.cuda, name, value))
        known = self._known
        recorded = mock.patch.object(
            Tensor, "record_stream", lambda x, stream: known.get(x.untyped_storage(), set()).add(stream)
        )
        self._patches.enter_context(recorded)
        self._patches.enter_context(mock.patch.object(side_stream, "KINDS", ("cpu",)))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    @contextmanager
    def _on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for memory in (read := _memories((args, kwargs))).values():
            if memory not in self._written:
                continue
            writer, count = self._written[memory]
            assert self.current.seen[writer] >= count, f"{function} reads what another stream has not yet written"
            known = self._known.get(memory, {self.current})
            assert self.current in known, f"{function} reads memory that may be used again: record_stream"
        result = function(*args, **(kwargs or {}))
        self.current.seen[self.current] += 1
        for number, memory in _memories(result).items():
            if number not in read and self.current is not self.main:
                self._known[memory] = {self.current}
            if number not in read or function._schema.is_mutable:  # else it is a view
                self._written[memory] = self.current, self.current.seen[self.current]
        return result


def _memories(content: Any) -> dict[int, UntypedStorage]:
    """The memory of each tensor, by its identity."""
    memories = [each.untyped_storage() for each in tree_leaves(content) if isinstance(each, Tensor)]
    return {id(memory): memory for memory in memories}
