from __future__ import annotations

import functools
import json

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Lambdad, ScaleIntensityRanged, Spacingd
from planewise.data.fingerprint import _compiled, describe


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
        # as a config makes them: without a file that holds their source
        (Lambdad("image", eval("lambda x: x + 1")), Lambdad("image", eval("lambda x: x + 2"))),
        (Lambdad("image", eval("lambda x: x.exp()")), Lambdad("image", eval("lambda x: x.log()"))),
    ):
        texts = [json.dumps(describe(Compose([transform]))) for transform in (one, one, other)]
        assert texts[0] == texts[1] != texts[2]


def test_a_set_in_a_lambda_has_one_order():
    # strings hash differently in every process
    assert str(["'a'", "'b'", "'c'"]) in _compiled(eval("lambda x: x in {'c', 'a', 'b'}").__code__)
