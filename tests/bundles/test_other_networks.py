"""Test all functions of the downstream bundles with other networks, from files with the names of published weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from monai.networks.nets import UNet
from planewise.files.checksum import sha256

from tests.bundles.conftest import datalist_for, infer, run_bundle
from tests.bundles.test_runs import EVALUATED
from tests.networks.test_published import BLOCKS, FEATURES, cinema_weights, nnssl_checkpoint
from tests.networks.test_resnet import torchvision_weights
from tests.networks.test_vit import timm_weights

HEART, KNEE = "downstream_cardiac_sax_segmentation", "downstream_knee_injury_classification"
LONG, TUMOURS = "downstream_cardiac_lax_segmentation", "downstream_brain_tumour_segmentation"
#: Small versions of the networks; their weights have the names of a public file.
SIZES = {
    "resnet50.yaml": {"features": [4, 16, 32, 64, 128], "blocks": [2, 1, 2, 1], "image_size": 64},
    "vit.yaml": {
        "hidden_size": 24,
        "mlp_dim": 40,
        "num_layers": 5,
        "num_heads": 3,
        "features": [4, 6, 8, 10],
        "image_size": 48,
    },
    "zoo_unet.yaml": {"features": [4, 8, 8], "strides": [2, 2], "image_size": 64},
    "cinema.yaml": {"hidden_size": 24, "num_layers": 4, "num_heads": 3, "features": [4, 6, 8, 10], "image_size": 64},
    "resenc.yaml": {"features": list(FEATURES), "blocks": list(BLOCKS), "image_size": 16},
}
FILES: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    # a file for another image size: 4 x 4 patches
    "resnet50.yaml": torchvision_weights,
    "vit.yaml": lambda: timm_weights(side=4),
    "zoo_unet.yaml": lambda: UNet(2, 1, 4, [4, 8, 8], [2, 2], num_res_units=2).state_dict(),
    "cinema.yaml": cinema_weights,
    "resenc.yaml": lambda: nnssl_checkpoint()["network_weights"],
}
QUICK = {"samples_per_epoch": 8, "val_interval": 1, "batch_size": 4}


def small(name: str, overlay: str) -> dict:
    size = SIZES[overlay] | ({} if name == TUMOURS else {"spacing": 2.2 if name == KNEE else 4.4})
    if (name, overlay) == (KNEE, "vit.yaml"):
        del size["features"]  # only the decoder has features
    return size


@pytest.fixture(scope="module")
def public(tmp_path_factory) -> SimpleNamespace:
    """Files as other people publish them: ``resnet50`` and ``vit``, of the small sizes."""
    folder = tmp_path_factory.mktemp("public")
    for overlay, make in FILES.items():
        torch.save(
            {"state_dict": {f"module.{name}": value for name, value in make().items()}}, folder / f"{overlay}.pth"
        )
    return SimpleNamespace(**{overlay.split(".")[0]: folder / f"{overlay}.pth" for overlay in FILES})


#: One pair of bundle and network; the others are marked slow.
PAIRS = [
    (HEART, "resnet50.yaml"),
    pytest.param(KNEE, "vit.yaml", marks=pytest.mark.slow),
    pytest.param(HEART, "vit.yaml", marks=pytest.mark.slow),
    pytest.param(KNEE, "resnet50.yaml", marks=pytest.mark.slow),
    (HEART, "zoo_unet.yaml"),
    pytest.param(HEART, "cinema.yaml", marks=pytest.mark.slow),
    pytest.param(LONG, "cinema.yaml", marks=pytest.mark.slow),
    pytest.param(TUMOURS, "resenc.yaml", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "overlay"), PAIRS)
def test_train_evaluate_and_infer(name, overlay, public, phantoms, tmp_path):
    datalist = datalist_for(name, phantoms)
    file = getattr(public, overlay.split(".")[0])
    size = small(name, overlay)
    start = {"imagenet": str(file)} if overlay in ("resnet50.yaml", "vit.yaml") else {"pretrained": str(file)}
    settings = QUICK | size | start | {"datalist": str(datalist), "max_epochs": 2}
    run = tmp_path / "run"
    run_bundle(name, *EVALUATED, overlay, run_id="train_and_evaluate", output_dir=run, **settings)
    started = json.loads((run / "run.json").read_text()).get("started_from", {})
    assert (started.get("sha256") == sha256(file)) == ("pretrained" in start)

    infer(name, datalist, run, tmp_path / "out", overlay, num_exams=1, **size)
    written = {path.name for path in (tmp_path / "out").rglob("*")}
    # every network has a saliency map of its deepest level
    assert "saliency.png" in written if name == KNEE else any(each.endswith((".gz", ".csv")) for each in written)
