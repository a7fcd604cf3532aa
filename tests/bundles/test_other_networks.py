"""Test all functions of the downstream bundles with ResNet-50 and ViT-B/16, the dagger rows of Zhang 2024."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.workshop.packaging import package_bundle
from planewise.workshop.packaging.bundle import Bundle

from tests.bundles.conftest import datalist_for, infer, run_bundle
from tests.bundles.test_runs import EVALUATED, weights
from tests.bundles.test_zoo import exports_are_the_same
from tests.conftest import ROOT
from tests.networks.test_resnet import torchvision_weights
from tests.networks.test_vit import timm_weights

HEART, KNEE = "downstream_cardiac_sax_segmentation", "downstream_knee_injury_classification"
#: Small versions of both networks; their weights have the names of a public file.
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
}
FILES: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    # a file for another image size: 4 x 4 patches
    "resnet50.yaml": torchvision_weights,
    "vit.yaml": lambda: timm_weights(side=4),
}
QUICK = {"samples_per_epoch": 8, "val_interval": 1, "batch_size": 4}


def small(name: str, overlay: str) -> dict:
    size = SIZES[overlay] | {"spacing": 4.4 if name == HEART else 2.2}
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
]


@pytest.mark.parametrize(("name", "overlay"), PAIRS)
def test_train_evaluate_infer_and_package(name, overlay, public, phantoms, tmp_path):
    datalist = datalist_for(name, phantoms)
    file = getattr(public, overlay.split(".")[0])
    size = small(name, overlay)
    settings = QUICK | size | {"datalist": str(datalist), "imagenet": str(file), "max_epochs": 2}
    run = tmp_path / "run"
    run_bundle(name, *EVALUATED, overlay, run_id="train_and_evaluate", output_dir=run, **settings)
    assert name == HEART or (run / "test/saliency.png").is_file(), (
        "every network has a saliency map of its deepest level"
    )

    infer(name, datalist, run, tmp_path / "out", overlay, num_exams=1, **size)
    assert [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".gz", ".csv")]

    done = package_bundle(ROOT / "bundles" / name, run, tmp_path / "dist", data="phantoms")
    assert exports_are_the_same(Bundle(done.folder), tmp_path / "exports")
    configs = {path.name for path in (done.folder / "configs").glob("*.yaml")}
    assert not configs & set(SIZES), "only the network in the package's own configs fits the weights"
    for config in ("train.yaml", "inference.yaml"):
        packaged = yaml.safe_load((done.folder / "configs" / config).read_text())
        assert packaged.items() >= size.items()
        assert packaged["network_def"]["encoder"]["_target_"].partition(".")[2].startswith("networks.")
    # the package holds the run's network: the same image gives the same numbers
    image = torch.randn(1, 1, size["image_size"], size["image_size"], *([3] if name == KNEE else []))
    packaged = Bundle(done.folder)
    with packaged.importable(), torch.no_grad():
        network = packaged.network().eval()
        network.load_state_dict(torch.load(packaged.weights, weights_only=True))
        mine = network(image)
    files = [str(ROOT / "bundles" / name / "configs" / config) for config in ("inference.yaml", overlay)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.update(size)
    theirs = parser.get_parsed_content("network_def").eval()
    theirs.load_state_dict(weights(run))
    with torch.no_grad():
        assert torch.equal(theirs(image), mine)
