"""Name the settings that determine only how and where a run is executed."""

from __future__ import annotations

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
        # of MONAI's option --tracking
        "experiment_name",
        "is_not_rank0",
        "run_name",
        "save_execute_config",
        "tracking_uri",
    )
)
#: Settings that name files. Their values never leave the machine.
FILES = ("dataset_dir", "datalist", "pretrained", "pretext_config", "pretext_datalist", "imagenet", "masks")
#: Settings that are paths. A path, such as a folder exported by a PACS, may contain a person's name.
PATHS = frozenset((*FILES, "bundle_root", "cache_dir", "ckpt_dir", "input", "output_dir", "report_dir", "weights"))
