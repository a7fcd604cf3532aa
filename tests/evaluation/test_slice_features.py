from __future__ import annotations

import csv

import numpy as np
import torch
from monai.data import MetaTensor
from planewise.engines import FeatureInferer
from planewise.evaluation import FeaturesWriter, SliceFeaturesd
from planewise.networks import SliceNet, UNetDecoder, UNetEncoder, encoder_features

from .passes import pass_over


def volume() -> MetaTensor:
    torch.manual_seed(0)
    return MetaTensor(torch.randn(1, 16, 16, 5), meta={"filename_or_obj": "aa.nii.gz"})


def network() -> SliceNet:
    torch.manual_seed(1)
    return SliceNet(UNetEncoder((4, 6, 8)), UNetDecoder((4, 6, 8)), num_maps=1).eval()


def test_each_slice_has_the_features_of_its_own_image():
    image, net = volume(), network()
    with torch.no_grad():
        prediction = FeatureInferer(batch_size=2)(torch.stack([image, 2 * image]), net)
        slices = image.as_tensor().movedim(-1, 0)
        expected = torch.cat([encoder_features(net, slice_[None]) for slice_ in slices])
    assert prediction.shape == (2, 8, 5)
    assert torch.allclose(prediction[0].T, expected, atol=1e-6) and not torch.allclose(prediction[0], prediction[1])

    item = SliceFeaturesd()({"image": image, "pred": prediction[0]})
    assert item["features"].shape == (5, 8) and item["features"].dtype == np.float32
    assert np.allclose(item["features"], expected, atol=1e-6)
    # a viewer gets an empty label on the image's grid, and a request for JSON gets the numbers
    assert item["pred"].shape == image.shape and item["pred"].dtype == torch.uint8 and not item["pred"].any()
    assert item["pred"].meta["filename_or_obj"] == "aa.nii.gz"
    assert np.allclose(item["result"]["features"], expected, rtol=1e-4, atol=1e-5)
    assert "not for diagnosis" in item["result"]["note"]


def test_a_network_without_an_encoder_has_no_features(tmp_path, caplog):
    """BasicUNet in tools/docs/experiments.md is such a network; its restored images are still written."""
    given = {"image": volume(), "pred": torch.rand(1, 16, 16, 5)}
    transform = SliceFeaturesd(torch.nn.Conv2d(1, 1, 1), FeatureInferer())
    item = transform(given)
    pass_over(FeaturesWriter(tmp_path), [[{}]], [[item]])
    assert item == given and not list(tmp_path.rglob("*.*")) and caplog.text.count("no encoder") == 1


def test_a_row_for_each_slice_under_the_exams_name(tmp_path, caplog):
    caplog.set_level("INFO")
    image = MetaTensor(torch.zeros(1, 4, 4, 2), meta={"filename_or_obj": "somewhere/aa.nii.gz"})
    features = np.array([[0.25, -3.0, 1e-7], [1.5, 2.0, 123456.78]], dtype=np.float32)
    pass_over(FeaturesWriter(tmp_path), [[{}]], [[{"image": image, "features": features}]])
    pass_over(FeaturesWriter(tmp_path / "one"), [[{}]], [[{"image": image, "features": features[:1]}]])
    said = [line for line in caplog.messages if "features" in line]
    assert said == ["exam aa: 3 features of each of 2 slices", "exam aa: 3 features"]
    assert np.array_equal(np.load(tmp_path / "aa/features.npy"), features)
    rows = list(csv.reader((tmp_path / "aa/features.csv").open()))
    assert rows[0] == ["slice", "feature0", "feature1", "feature2"]
    assert rows[1:] == [["0", "0.25", "-3", "1e-07"], ["1", "1.5", "2", "123457"]]
