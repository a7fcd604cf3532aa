"""Import MONAI, and the modules that use it, without the packages that they import at once and seldom use."""

from __future__ import annotations

import copyreg
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType, new_class
from typing import Any

#: What MONAI, Ignite and the scores import at once, and a plan or a segmentation never or seldom uses. They take as long
#: as everything else together: PyTorch's distributed optimisers a second, SciPy's statistics half a second.
_SELDOM_USED = (
    "itk", "matplotlib.pyplot", "matplotlib.ticker", "scipy.signal", "scipy.stats", "sklearn", "sklearn.ensemble",
    "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline", "sklearn.preprocessing",
    "torch.distributed.optim",
)  # fmt: skip


@contextmanager
def light_imports() -> Iterator[None]:
    """Within this context, the import of a seldom used package gives a stand-in, which imports the package when one of its
    functions or classes is used. A package that is imported already stays. Python does not search what is imported for
    garbage, neither here nor later, nor when the process ends, which would take more than half a second."""
    waiting = {name: _Later(name) for name in _SELDOM_USED if name not in sys.modules}
    sys.modules.update(waiting)
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        _remove(waiting.values())


def _remove(waiting: Iterable[ModuleType | None]) -> None:
    for later in waiting:
        if isinstance(later, _Later) and sys.modules.get(later.__name__) is later:
            del sys.modules[later.__name__]


def _real(module: str, name: str) -> Any:
    """What a stand-in stands for. A use within the context, also by another thread, removes all stand-ins of modules."""
    _remove(map(sys.modules.get, _SELDOM_USED))
    return getattr(import_module(module), name)


class _StandIn(type):
    """A function or a class of a module that is imported when it is called, when one of its attributes is used, when a class
    is made of it, or when an object or a class is compared with it."""

    home: str

    def __new__(cls, name: str, bases: tuple[Any, ...], content: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, content)
        real = tuple(each.real() if isinstance(each, _StandIn) else each for each in bases)
        return new_class(name, real, exec_body=lambda namespace: namespace.update(content))

    def real(cls) -> Any:
        return _real(cls.home, cls.__name__)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.real()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # decorators and `inspect` ask for them at import
        return getattr(cls.real(), name)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.real())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.real())


# pickled, as for a worker process, it is the real one
copyreg.pickle(_StandIn, lambda each: (_real, (each.home, each.__name__)))


class _Later(ModuleType):
    """A module whose attributes are stand-ins within `light_imports`, and the real ones afterwards."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # `importlib.util.find_spec` finds it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # MONAI takes a module with a path and without a file for an empty folder
        if sys.modules.get(self.__name__) is self:
            return _StandIn(name, (), {"home": self.__name__})
        return _real(self.__name__, name)
