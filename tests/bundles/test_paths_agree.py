"""Test that a slice is the same whether it is prepared for training or for inference."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from planewise.data import load_datalist
from planewise.evaluation.plan_views import slice_affines
from planewise.exams import find_inputs

from tests.bundles.conftest import PHOTOGRAPHS, TRAINED, VOLUMES, datalist_for, plain_parser
from tests.conftest import ROOT
from tests.kinds import others_slow

#: Inference of this bundle loads exams as training does, by the same transforms (test_wiring.py). For volumes see
#: test_volumes.py, for photographs test_photographs.py.
ONE_PATH = "downstream_cardiac_two_phase_classification"


@pytest.mark.parametrize(
    "name", others_slow(name for name in TRAINED if name != ONE_PATH and name not in VOLUMES | PHOTOGRAPHS)
)
def test_training_and_inference_see_the_same_slice(name, phantoms):
    parsers = [plain_parser(name, file) for file in ("train.yaml", "inference.yaml")]
    for parser in parsers:
        root = str(ROOT / "bundles" / name)
        parser.update({"spacing": 2.94, "image_size": 96, "bundle_root": root, "device": "cpu"})
    training = parsers[0].get_parsed_content("train#preprocessing")
    inference = parsers[1].get_parsed_content("preprocessing")
    datalist = datalist_for(name, phantoms)
    stack = inference(find_inputs(datalist)[0])
    items = load_datalist(datalist, "test")
    exam = items[0]["exam"]
    if "affine" in items[0]:
        first = min(item["phase"] for item in items if item["exam"] == exam)
        slices = [item for item in items if item["exam"] == exam and item["phase"] == first]
    else:
        slices = [{**items[0], "frame": frame} for frame in range(stack["image"].shape[-1])]
    assert len(slices) == stack["image"].shape[-1]
    assert len(slices) == 1 if "_lax_" in name else len(slices) > 3
    affines = slice_affines(stack["image"], stack.get("slice_affines"))
    for index, item in enumerate(sorted(slices, key=lambda item: item.get("slice", item.get("frame")))):
        single = training(item)["image"]
        assert float((single[..., 0] - stack["image"][..., index]).abs().max()) < 1e-5
        assert torch.allclose(single.affine[:3, :2], affines[index, :3, :2], atol=1e-6)
        assert torch.allclose(single.affine[:3, 3], affines[index, :3, 3], atol=1e-3)


@pytest.mark.parametrize("path", ["inference", "evaluate"])
def test_what_the_crop_left_out_is_background(path, phantoms, tmp_path):
    """Probabilities come back surrounded by zeros; cubic interpolation rings at that edge."""
    folder = ROOT / "bundles/downstream_cardiac_sax_segmentation/configs"
    files = ["train.yaml", "evaluate.yaml"] if path == "evaluate" else ["inference.yaml"]
    parser = ConfigParser(ConfigParser.load_config_files([str(folder / file) for file in files]))
    parser.update({"spacing": 2.94, "image_size": 40, "bundle_root": str(folder.parent), "output_dir": str(tmp_path)})
    prefix = "evaluate#" if path == "evaluate" else ""
    item = parser.get_parsed_content(f"{prefix}preprocessing")(find_inputs(phantoms.cardiac.labelled)[0])
    logits = torch.zeros(4, *item["image"].shape[1:])
    logits[0] = 8.0
    # a left ventricle in the middle, which must stay
    logits[3, 16:24, 16:24, 2:5] = 16.0
    image = item["image"]
    item["pred"] = MetaTensor(logits, affine=image.affine, applied_operations=image.applied_operations)
    mask = parser.get_parsed_content(f"{prefix}postprocessing")(item)["pred"]
    assert mask.shape == item["native_image"].shape
    assert torch.allclose(mask.affine, item["native_image"].affine)
    found = mask[0].nonzero()
    assert set(mask.unique().tolist()) == {0, 3}
    # 8 pixels of 2.94 mm, and half a pixel of tolerance on either side
    spacing = item["native_image"].affine[:3, 0].norm()
    assert float((found.amax(0) - found.amin(0))[0] * spacing) <= 8 * 2.94 + 3
