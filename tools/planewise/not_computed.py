"""Name the settings that determine only how and where a run is executed, and compare the settings of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Settings that do not change the result of a run, but only how and where it is executed. A run can resume with other values
#: of these settings.
NOT_COMPUTED = frozenset(
    (
        "bundle_root",
        "output_dir",
        "ckpt_dir",
        "cache_dir",
        "checkpoint_interval",
        "data_device",
        "device",
        "finalize",
        "initialize",
        "log_interval",
        "writes",
        "resume",
        "progress",
        "num_workers",
        "run",
        "imports",
        "sync_batch_norm",
    )
)
#: Settings that name files. Their values never leave the machine.
FILES = ("dataset_dir", "datalist", "pretrained", "pretext_config", "pretext_datalist", "imagenet", "masks")
#: Settings that are paths. A path, such as a folder exported by a PACS, may contain a person's name.
PATHS = frozenset((*FILES, "bundle_root", "cache_dir", "ckpt_dir", "input", "output_dir", "report_dir", "weights"))


def only_longer(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether settings differ only in a larger number of epochs, so that the earlier training can continue."""
    earlier, later = before.get("max_epochs"), now.get("max_epochs")
    if not isinstance(earlier, int) or not isinstance(later, int) or later <= earlier:
        return False
    return {**before, "max_epochs": later} == now
