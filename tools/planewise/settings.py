"""Settings of the bundles that change only how and where a run is executed, and true and false as people write them."""

from __future__ import annotations

from planewise.errors import InputError

#: Settings that do not change the result of a run, but only how and where it is executed. A run can resume with other values
#: of these settings.
NOT_COMPUTED = frozenset((
    "bundle_root", "output_dir", "ckpt_dir", "cache_dir", "checkpoint_interval", "data_device", "device", "finalize",
    "imports", "initialize", "log_interval", "num_workers", "progress", "resume", "run", "sync_batch_norm", "writes",
    # of MONAI's option --tracking
    "experiment_name", "is_not_rank0", "run_name", "save_execute_config", "tracking_uri",
))  # fmt: skip
#: Settings that name files. Their values never leave the machine.
FILES = ("dataset_dir", "datalist", "pretrained", "pretext_config", "pretext_datalist", "imagenet", "masks")
#: Settings that are paths. A path, such as a folder exported by a PACS, may contain a person's name.
PATHS = frozenset((*FILES, "bundle_root", "cache_dir", "ckpt_dir", "input", "output_dir", "report_dir", "weights"))
_SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_bool(value: bool | str | float | None, name: str) -> bool:
    """Whether a setting is on.

    ``--compile False`` reaches a config as the value False, but ``--compile false`` arrives as text, which Python treats
    as true.

    Args:
        value: value of the setting; None (or none, null, nothing) is off.
        name: name of the setting, for the message.

    Raises:
        InputError: the value means neither on nor off.
    """
    word = str(value).strip().lower()
    if word in ("none", "null", ""):
        return False
    if word in _SWITCHES:
        return _SWITCHES[word]
    raise InputError(f"{name} must be true or false, got {value!r}")
