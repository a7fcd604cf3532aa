from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import numpy as np
import planewise
import pytest
import torch
from monai.transforms import Compose, EnsureTyped, Lambdad, ScaleIntensityRanged, Spacingd
from planewise.data import fingerprint as fingerprint_module
from planewise.data.fingerprint import describe, fingerprint


def shifted(image, by=1):
    return image + by


def test_settings_of_every_kind_are_described():
    for one, other in (
        (EnsureTyped("image", dtype=torch.float32), EnsureTyped("image", dtype=torch.float64)),
        (EnsureTyped("image", device=torch.device("cpu")), EnsureTyped("image")),
        (Spacingd("image", (1, 1, -1), dtype=torch.float64), Spacingd("image", (1, 1, -1), dtype=torch.float32)),
        (
            ScaleIntensityRanged("image", np.float32(0), 1, 0, 1),
            ScaleIntensityRanged("image", np.float32(0.5), 1, 0, 1),
        ),
        (Lambdad("image", shifted), Lambdad("image", functools.partial(shifted, by=2))),
        (
            Lambdad("image", functools.partial(shifted, by=2)),
            Lambdad("image", functools.partial(shifted, by=3)),
        ),
        (Lambdad("image", functools.partial(max, 2)), Lambdad("image", functools.partial(max, 3))),
        # functions made by `eval`, as in configs: no file contains their source
        (Lambdad("image", eval("lambda x: x + 1")), Lambdad("image", eval("lambda x: x + 2"))),
        (Lambdad("image", eval("lambda x: x.exp()")), Lambdad("image", eval("lambda x: x.log()"))),
    ):
        texts = [json.dumps(describe(Compose([transform]))) for transform in (one, one, other)]
        assert texts[0] == texts[1] != texts[2]


READ = {
    "image": "a.nii.gz",
    "frame": 2,
    "time": 3,
    "affine": [[1.0]],
    "label": "a_gt.nii.gz",
    "label_frame": 4,
    "label_axes": [[1, 1], [0, -1]],
    "label_map": {"2": 1},
    "label_origin": "predicted",
}


@pytest.mark.parametrize("key", READ)
def test_what_decides_which_pixels_are_read_is_in_the_key(key):
    item = {"image": "b.nii.gz"}
    assert fingerprint([item], Compose([])) != fingerprint([item | {key: READ[key]}], Compose([]))


@pytest.mark.parametrize("key", ["planes", "location", "exam", "phase", "abnormal"])
def test_what_targets_are_made_of_is_not(key):
    item = {"image": "b.nii.gz"}
    assert fingerprint([item], Compose([])) == fingerprint([item | {key: 1}], Compose([]))


def test_what_makes_rows_takes_nothing_of_ours_from_elsewhere():
    """Otherwise a change in such code would leave old rows in use."""
    ours = Path(planewise.__file__).parent
    for file in (file for room in fingerprint_module.ROOMS for file in (ours / room).rglob("*.py")):
        rooms = set(re.findall(r"(?:from|import) planewise\.(\w+)", file.read_text()))
        assert {room for room in rooms if (ours / room).is_dir()} <= set(fingerprint_module.ROOMS), file
