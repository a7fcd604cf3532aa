"""Test that pretrained weights of channels go to the channels of the same names."""

from __future__ import annotations

import json

import pytest
import torch
from planewise.engines import channel_sources

BRATS = ["t1", "t1ce", "t2", "flair"]


@pytest.mark.parametrize(
    ("learned", "given", "sources"),
    [
        (["t1", "flair"], BRATS, [0, 0, 1, 1]),  # the paper's
        (["flair", "t1"], BRATS, [1, 1, 0, 0]),
        (["t1", "t1ce", "t2"], BRATS, [0, 1, 2, 2]),
        (["flair"], BRATS, [0, 0, 0, 0]),
        (BRATS[::-1], BRATS, [3, 2, 1, 0]),
        (BRATS, ["t2", "t1"], [2, 0]),
        (["t1", "flair"], ["t1", "t2"], [0, 0]),
        (["a", "b"], BRATS, None),
        ([], BRATS, None),
        (["t1", "flair"], [], None),
    ],
)
def test_channels_take_the_weights_of_their_names(learned, given, sources, tmp_path, caplog):
    (tmp_path / "run/models").mkdir(parents=True)
    torch.save({}, tmp_path / "run/models/model.pt")
    (tmp_path / "run/config.yaml").write_text("{}")
    (tmp_path / "run/run.json").write_text(json.dumps({"channels": learned}))
    (tmp_path / "x.json").write_text(json.dumps({"planewise": {"channels": given}}))
    with caplog.at_level("INFO", logger="planewise"):
        assert channel_sources(tmp_path / "run", tmp_path / "x.json") == sources
    if sources is not None:
        assert caplog.messages[-1].endswith(
            f"{', '.join(given)} start from the pretrained weights of {', '.join(learned[source] for source in sources)}"
        )
    else:
        assert ("copied by position" in caplog.text) == bool(learned and given)


@pytest.mark.parametrize("pretrained", [None, "null", "no/such/file"])
def test_without_weights_or_a_datalist_nothing_is_known(pretrained, tmp_path):
    assert channel_sources(pretrained, tmp_path / "none.json") is None
