"""Turn files on disk into exams, stacks, planes and datalists. Only this subpackage uses DICOM tags and LPS
coordinates.

Names are imported on first use, because processes that read headers import this package and must not wait for torch.
"""

from importlib import import_module

_HOMES = {
    "IndexResult": "planewise.exams.index",
    "LoadCased": "planewise.exams.load",
    "LoadExamd": "planewise.exams.load",
    "find_inputs": "planewise.exams.inputs",
    "find_stacks": "planewise.exams.inputs",
    "find_volumes": "planewise.exams.inputs",
    "index_folder": "planewise.exams.index",
    "write_datalist": "planewise.exams.datalist",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
