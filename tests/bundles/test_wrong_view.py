"""Test that a bundle of one cardiac view refuses a datalist of the other before reading images."""

from __future__ import annotations

import pytest
from planewise.errors import InputError

from tests.bundles.conftest import run_bundle
from tests.bundles.test_runs import root_cause

TRAIN, EVALUATE = ("train.yaml",), ("train.yaml", "evaluate.yaml")


@pytest.mark.parametrize(
    ("name", "configs", "kind"),
    [
        ("pretext_cardiac_lax_position", TRAIN, "unlabelled"),
        ("pretext_cardiac_sax_position", TRAIN, "four_chamber"),
        ("pretext_cardiac_orientation", TRAIN, "four_chamber"),
        ("downstream_cardiac_lax_segmentation", TRAIN, "labelled"),
        ("downstream_cardiac_sax_segmentation", TRAIN, "four_chamber"),
        ("downstream_cardiac_lax_segmentation", EVALUATE, "labelled"),
        ("downstream_cardiac_sax_segmentation", EVALUATE, "four_chamber"),
    ],
)
def test_a_datalist_of_the_other_view_is_refused(name, configs, kind, phantoms, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, *configs, datalist=getattr(phantoms.cardiac, kind), output_dir=tmp_path, device="cpu")
    assert isinstance(root_cause(caught.value), InputError)
