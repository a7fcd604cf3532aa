from __future__ import annotations

import yaml
from planewise.settings import FILES, NOT_COMPUTED

from tests.conftest import ROOT

#: Settings at the head of a train.yaml that change what is computed.
COMPUTED = {"seed", "amp", "channels_last", "compile", "tf32"}


def test_the_head_of_a_config_says_where_and_how_a_run_is_executed():
    """`test_shared_lines.py` holds that the heads of all bundles are the same text."""
    settings = yaml.safe_load((ROOT / "bundles/pretext_cardiac_multitask/configs/train.yaml").read_text())
    head = [*settings][: [*settings].index("val_interval")]
    assert {*head} - NOT_COMPUTED - {*FILES} == COMPUTED
    assert NOT_COMPUTED & settings.keys() - {*head} == {"initialize", "run"}
    # only several processes, or MONAI's --tracking, have these
    tracking = {"experiment_name", "is_not_rank0", "run_name", "save_execute_config", "tracking_uri"}
    assert NOT_COMPUTED - settings.keys() == {"finalize", "sync_batch_norm"} | tracking
