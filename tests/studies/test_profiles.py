"""Test studies planned for one machine with GPUs and for a cluster, misspelt pretexts, and several processes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import yaml

from tests.studies.runs import STUDIES, TWELVE, commands, jobs, paper_study, planned

get_argument_parser = pytest.importorskip("snakemake.cli").get_argument_parser
PROFILES = STUDIES / "profiles"


def compared(pretexts: Sequence[str]) -> dict[str, list[str]]:
    """Settings of a study of these pretexts and of scratch, instead of a table's rows."""
    return {"pretexts": list(pretexts), "methods": ["none", *pretexts]}


def rule(text: str, name: str) -> str:
    """What Snakemake prints of the first job of a rule."""
    return re.search(rf"^rule {name}:.*?\n\n", text, re.M | re.S)[0]


def test_table_4_with_twelve_pretexts_on_one_machine(tmp_path):
    config = paper_study("table3_table4.yaml", tmp_path) | compared(TWELVE)
    text = planned(config, tmp_path, "--profile", str(PROFILES / "local"), "--resources", "gpu=8", "--printshellcmds")
    assert jobs(text)["total"] == 405
    trainings = commands(text, "pretrain") + commands(text, "finetune")
    assert len(trainings) == 207
    for command in trainings:
        # each job runs on the GPU that it is given
        assert f"{STUDIES}/on_gpus.py 1 -- " in command and "--device cuda:0" in command
    assert "gpu=1" in rule(text, "pretrain") and "gpu=0" in rule(text, "report")


def test_the_cluster_gets_what_each_job_needs(tmp_path):
    config = paper_study("table3_table4.yaml", tmp_path) | {"resources": {"finetune": {"runtime": 90, "mem_mb": 9000}}}
    # leave the SLURM plugin and its settings out of the profile: the dry run lists each job's resources without them
    settings = yaml.safe_load((PROFILES / "slurm/config.yaml").read_text())
    (tmp_path / "profile").mkdir()
    kept = {key: value for key, value in settings.items() if not key.startswith("slurm-")}
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(kept | {"executor": "dryrun"}))
    text = planned(config, tmp_path, "--profile", str(tmp_path / "profile"))
    for asked in ("gpu=1", "nodes=1", "runtime=1440", "mem_mb=32000"):
        assert asked in rule(text, "pretrain")
    for asked in ("gpu=1", "runtime=90", "mem_mb=9000"):
        assert asked in rule(text, "finetune")


def test_torchrun_spreads_the_kind_of_training_that_the_study_says(tmp_path):
    config = paper_study("table3_table4.yaml", tmp_path) | {"processes": {"pretrain": 4}} | compared(["orientation"])
    text = planned(config, tmp_path, "--printshellcmds")
    (command,) = commands(text, "pretrain")
    assert (
        f"{STUDIES}/on_gpus.py 4 -- " in command and "torch.distributed.run --standalone --nproc_per_node=4" in command
    )
    # the overlay is the last file, and assigns a device to each process
    assert "'configs/evaluate.yaml','configs/multi_gpu_train.yaml']" in command and "--device" not in command
    assert "gpu=4" in rule(text, "pretrain")
    assert "torch.distributed" not in "".join(commands(text, "finetune")) and "gpu=1" in rule(text, "finetune")

    text = planned(config | {"device": "cpu", "processes": 2}, tmp_path, "--printshellcmds")
    for command in commands(text, "pretrain") + commands(text, "finetune"):
        assert "--nproc_per_node=2" in command and "--device cpu" in command and "on_gpus" not in command
