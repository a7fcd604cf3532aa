"""Settings for where a run is carried out and where its files are."""

#: Settings that change where and how a run is carried out, but not its result: a run can resume with other values.
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
#: Settings that name files. They never leave the machine.
FILES = ("dataset_dir", "datalist", "pretrained", "pretext_config", "pretext_datalist", "imagenet", "masks")
