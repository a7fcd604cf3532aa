"""Test that results name the weights that made them, without a path."""

import json
import re
from pathlib import Path

import pytest
from planewise.files.checksum import sha256
from planewise.own_exams.bundles import Provenance, made_by


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A bundle with weights that ship."""
    folder = tmp_path / "some_bundle"
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "model.pt").write_bytes(b"shipped")
    (folder / "models" / "record.json").write_text(
        json.dumps({"weights_sha256": sha256(folder / "models" / "model.pt")})
    )
    (folder / "configs" / "metadata.json").write_text('{"version": "1.2.3"}')
    return folder


def test_the_weights_that_ship_have_seen_only_phantoms(bundle):
    shipped = Provenance.of(bundle, bundle)
    assert shipped.ships and shipped.sha256 == sha256(bundle / "models" / "model.pt")
    note = made_by([("masks", shipped)], "the error of these volumes")
    assert note.made_by == (
        f"Masks by some_bundle 1.2.3 (weights that ship, trained on phantoms only, SHA-256 {shipped.sha256[:12]})."
    )
    assert str(note) == f"{note.made_by} planewise has not measured the error of these volumes."
    assert shipped.content()["trained_on"] == "phantoms"


def test_scores_on_patients_stand_in_place_of_what_nobody_has_measured(bundle):
    entry = {
        "dice": {"mean": 0.9},
        "ejection_fraction_distance_pct": {"mean": 3.54},
        "diastole_volume_error_ml": {"mean": -8},
    }
    scores = {"mean": {"dice": {"mean": 0.85}}, "structures": {"LV": entry, "myocardium": {"dice": {"mean": 0.8}}}}
    record = json.loads((bundle / "models" / "record.json").read_text())
    record["patients"] = {"data": "20 patients", "scores": scores}
    (bundle / "models" / "record.json").write_text(json.dumps(record))
    measured, unknown = Provenance.of(bundle, bundle), Provenance("planes", "1", "ab" * 32, True)
    found = made_by([("masks", measured)], "their error").errors
    assert re.findall(r"-?\d+(?:\.\d+)?", found) == ["0.850", "0.900", "0.800", "20", "3.5", "-8.0"]
    both = made_by([("planes", unknown), ("masks", measured)], "their error").errors
    assert both == f"planewise has not measured their error. {found}"
    (bundle / "models" / "model.pt").write_bytes(b"retrained in place")
    assert Provenance.of(bundle, bundle).patients == ""


def test_own_weights_are_named_by_their_checksum(bundle, tmp_path):
    file = tmp_path / "Doe_Jane.pt"
    file.write_bytes(b"own")
    own = Provenance.of(bundle, file)
    said = [str(made_by([("masks", own)], "an error")), own.short, own.weights, json.dumps(own.content())]
    assert not own.ships and all(own.sha256[:12] in each for each in said)
    assert not any("Doe" in each or "phantom" in each for each in said)
