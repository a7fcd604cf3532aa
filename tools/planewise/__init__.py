"""Self-supervised learning on medical images whose imaging planes follow anatomy.

The functions `index`, `plan` and `segment` do the same as the commands of these names; `load_bundle` makes a bundle's
parts available in Python (tools/docs/api.md).
"""

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planewise.exams.index import index_folder as index
    from planewise.own_exams.bundles import load_bundle
    from planewise.own_exams.plan_exams import plan_exams as plan
    from planewise.own_exams.segment_exams import segment_exams as segment

__all__ = ["index", "load_bundle", "plan", "segment"]

__version__ = "0.2.0"

# MONAI logs at import that a GPU decoder is missing; users do not need this decoder
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

_FUNCTIONS = {
    "index": ("planewise.exams.index", "index_folder"),
    "load_bundle": ("planewise.own_exams", "load_bundle"),
    "plan": ("planewise.own_exams", "plan_exams"),
    "segment": ("planewise.own_exams", "segment_exams"),
}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:  # MONAI is imported only when one of these functions is used
        module, function = _FUNCTIONS[name]
        return getattr(import_module(module), function)
    # after `$import planewise`, a config may name any subpackage; the console script imports only those that it needs
    if find_spec(f"planewise.{name}"):
        return import_module(f"planewise.{name}")
    raise AttributeError(f"module 'planewise' has no attribute {name!r}")
