"""Test which scores and which origin of weights a model card has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.workshop.packaging.run import Provenance, Run, find_provenance


def test_scores_of_other_weights_are_refused(tmp_path):
    weights, other = tmp_path / "model.pt", tmp_path / "other.pt"
    weights.write_text("these")
    other.write_text("others")
    (tmp_path / "test").mkdir()
    scores = tmp_path / "test/metrics.json"
    scores.write_text('{"dice": 0.5}')

    def found(datalist: str, file: Path = weights) -> Provenance:
        digests = {"weights": sha256(file), "datalist": datalist, "metrics": sha256(scores)}
        (tmp_path / "test/scored.json").write_text(json.dumps({"section": "test"} | digests))
        return find_provenance(weights, Run(tmp_path, weights, {}, {"files": {"all.json": "0wn"}}), "nine exams")

    assert found("0wn").measured_on == "section test of nine exams" and found("0wn").scores == {"dice": 0.5}
    assert "0ther" in found("0ther").measured_on
    with pytest.raises(InputError):
        found("0wn", other)


@pytest.mark.parametrize(("data", "text"), [("ours", "phantoms: ours"), (None, "nine exams")])
def test_weights_of_phantoms_are_said_to_be(data, text, tmp_path):
    record = {"weights_sha256": "", "phantoms": {}, "scores": {"dice": 0.5}, "data": "nine exams"}
    (tmp_path / "model.pt").write_bytes(b"weights")
    found = find_provenance(tmp_path / "model.pt", Run(tmp_path, tmp_path / "model.pt", {}, record), data)
    assert (found.data, found.scores) == (text, {"dice": 0.5}) and text in found.measured_on


def test_the_origin_has_what_the_record_has_and_no_path(tmp_path):
    record = {"configuration": "c0ffee", "seed": 7, "files": {"jane.json": "0a"}, "commit": "abc-dirty"}
    record |= {"python": "3.11.2", "packages": {"monai": "1.6.1"}, "devices": ["host"], "never": "jane"}
    record |= {"processes": 4}
    config = {"imagenet": "/home/jane/net.pth", "spacing": 2.0, "home": "~jane"}
    run = Run(tmp_path, tmp_path / "model.pt", config, record)
    origin = Provenance({"never_predicted": ["RV"]}, "", "", run, "d1").origin({"spacing": 1.0})
    text = json.dumps(origin)
    for fact in ("d1", "c0ffee", "0a", "abc-dirty", "1.6.1", "net.pth", '{"spacing": 2.0}', '["RV"]'):
        assert fact in text, fact
    assert origin["processes"] == 4
    assert not [hidden for hidden in ("jane", "host", str(tmp_path)) if hidden in text]
