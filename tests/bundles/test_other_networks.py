"""Test all functions of the downstream bundles with ResNet-50 and ViT-B/16, the dagger rows of Zhang 2024."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.errors import InputError
from planewise.networks import AlexNetEncoder
from planewise.workshop.packaging import package_bundle
from planewise.workshop.packaging.bundle import Bundle

from tests.bundles.conftest import datalist_for, infer, run_bundle
from tests.bundles.test_runs import EVALUATED, root_cause, weights
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


@pytest.mark.parametrize("name", [HEART, KNEE])
@pytest.mark.parametrize("overlay", SIZES)
def test_training_starts_from_the_public_file(name, overlay, public, phantoms, tmp_path, caplog):
    """Weights from --imagenet, and from --pretrained, which a study passes; with a learning rate of 0 they do not change."""
    file = getattr(public, overlay.split(".")[0])
    settings = QUICK | small(name, overlay) | {"datalist": str(datalist_for(name, phantoms)), "max_epochs": 1}
    kept = {}
    with caplog.at_level(logging.INFO, "planewise"):
        for option in ("imagenet", "pretrained"):
            run_bundle(
                name, "train.yaml", overlay, output_dir=tmp_path / option, learning_rate=0.0, **settings,
                **{option: str(file)},
            )  # fmt: skip
            kept[option] = {key: value for key, value in weights(tmp_path / option).items() if "encoder." in key}
    public_weights = FILES[overlay]()
    learned = {
        key: value for key, value in kept["imagenet"].items() if "running" not in key and "num_batches" not in key
    }
    assert learned and all(torch.equal(value, kept["pretrained"][key]) for key, value in learned.items())
    for part in ("layer4.0.conv3.weight", "conv1.weight") if overlay == "resnet50.yaml" else ("blocks.4.norm2.bias",):
        assert torch.equal(learned[f"encoder.{part}"], public_weights[part])
    loaded = [text for text in caplog.messages if text.startswith("loaded ")]
    assert len(loaded) == 2 and loaded[0] == loaded[1]


def test_a_file_of_another_network_says_which_config_it_needs(phantoms, public, tmp_path):
    torch.save(AlexNetEncoder().state_dict(), tmp_path / "alexnet.pth")
    settings = {"datalist": str(phantoms.knee.labelled), "max_epochs": 1}
    for configs, file, message in (
        (["vit.yaml"], tmp_path / "alexnet.pth", "names of AlexNet.* leave the other network's config out"),
        (["vit.yaml"], public.resnet50, "names of a ResNet, which needs configs/resnet50.yaml"),
        ([], public.vit, "names of a vision transformer, which needs configs/vit.yaml"),
    ):
        size = small(KNEE, configs[0]) if configs else {}
        with pytest.raises(RuntimeError) as caught:
            settings["output_dir"] = str(tmp_path / file.stem)
            run_bundle(KNEE, "train.yaml", *configs, imagenet=file, **settings, **size)
        cause = root_cause(caught.value)
        assert isinstance(cause, InputError)
        with pytest.raises(InputError, match=message):
            raise cause


@pytest.mark.parametrize("name", [HEART, KNEE])
def test_the_papers_networks_are_the_defaults(name):
    """The other settings are those of the bundle's own network, as in the paper."""
    folder = ROOT / "bundles" / name / "configs"
    for overlay in SIZES:
        over = yaml.safe_load((folder / overlay).read_text())
        values = (
            {"features": [64, 256, 512, 1024, 2048], "blocks": [3, 4, 6, 3]}
            if overlay == "resnet50.yaml"
            else {"patch_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_layers": 12, "num_heads": 12}
        )
        assert over.items() >= values.items()
        assert not over.keys() & {"learning_rate", "max_epochs", "batch_size", "weight_decay", "image_size", "l1"}
