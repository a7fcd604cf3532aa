"""Test that a bundle of one cardiac view refuses a datalist of the other before reading images, and says what to do."""

from __future__ import annotations

import pytest
from planewise.errors import InputError

from tests.bundles.conftest import run_bundle
from tests.bundles.test_runs import root_cause

TRAIN, EVALUATE = ("train.yaml",), ("train.yaml", "evaluate.yaml")


@pytest.mark.parametrize(
    ("name", "configs", "kind", "view"),
    [
        ("pretext_cardiac_lax_position", TRAIN, "unlabelled", "4ch"),
        ("pretext_cardiac_sax_position", TRAIN, "four_chamber", "sax"),
        ("pretext_cardiac_orientation", TRAIN, "four_chamber", "sax"),
        ("downstream_cardiac_lax_segmentation", TRAIN, "labelled", "4ch"),
        ("downstream_cardiac_sax_segmentation", TRAIN, "four_chamber", "sax"),
        ("downstream_cardiac_lax_segmentation", EVALUATE, "labelled", "4ch"),
        ("downstream_cardiac_sax_segmentation", EVALUATE, "four_chamber", "sax"),
    ],
)
def test_a_datalist_of_the_other_view_is_refused(name, configs, kind, view, phantoms, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, *configs, datalist=getattr(phantoms.cardiac, kind), output_dir=tmp_path, device="cpu")
    error = root_cause(caught.value)
    assert isinstance(error, InputError) and f"`planewise index FOLDER --view {view}`" in str(error), error
