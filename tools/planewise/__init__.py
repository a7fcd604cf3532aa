"""Self-supervised learning on medical images whose imaging planes follow anatomy."""

from importlib import import_module
from types import ModuleType

__version__ = "0.2.0"

_ROOMS = (
    "augmentation",
    "data",
    "engines",
    "evaluation",
    "exams",
    "geometry",
    "losses",
    "metrics",
    "networks",
    "phantoms",
    "preprocessing",
    "pretexts",
    "reports",
)


def __getattr__(name: str) -> ModuleType:
    # a config says `$import planewise` and then names any room; the console script imports none it does not need
    if name in _ROOMS:
        return import_module(f"planewise.{name}")
    raise AttributeError(f"module 'planewise' has no attribute {name!r}")
