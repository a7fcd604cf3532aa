"""Test that each bundle has what MONAI Label needs, with generated images and without its server (see `tests/label`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged, Resize, SaveImaged
from PIL import Image
from planewise.errors import is_input_error
from planewise.workshop.packaging.bundle import Bundle, without_noise

from tests.bundles.conftest import BUNDLES, PHOTOGRAPHS
from tests.bundles.test_zoo import parsed, thin
from tests.conftest import ROOT
from tests.kinds import others_slow

#: Keys that MONAI Label overrides before it starts.
SET = {
    "inference.yaml": ("network_def", "preprocessing", "inferer", "postprocessing", "device"),
    "train.yaml": (
        "run", "device", "train#trainer#max_epochs", "train#dataset#data", "validate#dataset#data", "train#handlers",
    ),
}  # fmt: skip
#: Bundles whose input is not one image: a forest of volumes, and an exam at two phases.
NO_IMAGE = ("downstream_cardiac_disease_classification", "downstream_cardiac_two_phase_classification")


@pytest.mark.parametrize("name", BUNDLES)
def test_configs_have_what_monai_label_reads_and_sets(name):
    bundle = Bundle(ROOT / "bundles" / name)
    form = bundle.metadata["network_data_format"]
    assert (next(iter(form["inputs"])), next(iter(form["outputs"]))) == ("image", "pred")
    named = form["outputs"]["pred"].get("channel_def", {})
    names = [str(label).lower() for label in named.values()]
    assert all(key.isdigit() for key in named) and len(set(names)) == len(names)
    assert not names or names[0] == "background" or "classification" in name
    for file, keys in SET.items():
        config = bundle.config(file)
        assert "@_meta_" not in bundle.texts[file] and "__meta__" not in bundle.texts[file]
        parser = ConfigParser(config)
        assert name == NO_IMAGE[0] or [key for key in keys if key not in parser] == []
        for part in (config, config.get("train", {}), config.get("validate", {})):
            assert all("_target_" in handler for handler in part.get("handlers", []))
            assert all(
                "map_location" in each for each in part.get("handlers", []) if each["_target_"] == "CheckpointLoader"
            )


@contextmanager
def example(bundle: Bundle, folder: Path, channels: int, integers: bool = False, slices: int = 3) -> Iterator[str]:
    """The path of a volume of random numbers (fractions, or the labels 0 and 1), or of a photograph."""
    draws = np.random.default_rng(0)
    if bundle.name in PHOTOGRAPHS:
        Image.fromarray(draws.integers(0, 256, (72, 80, 3), dtype=np.uint8)).save(folder / "image.png")
        yield str(folder / "image.png")
        return
    # slices from right to left, so that it may be a sagittal series, too
    affine = np.diag([1.7, 1.5, 8.0, 1.0])[[2, 0, 1, 3]]
    shape = (40, 36, slices) if slices > 1 else (40, 36)
    values = draws.random((*shape, channels) if channels > 1 else shape, np.float32)
    path = folder / f"{'label' if integers else 'image'}{slices}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values.round().astype(np.uint8) if integers else values, affine), path)
    yield str(path)


def channels_of(steps) -> int:
    return next((step.channels for step in steps if getattr(step, "channels", None)), 1)


class Silent(torch.nn.Module):
    """A network that finds nothing: its output and that of its encoder are zero."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        if hasattr(network, "encoder"):
            self.encoder = Silent(network.encoder)

    def forward(self, image):
        output = self.network(image)
        return [torch.zeros_like(level) for level in output] if isinstance(output, list) else torch.zeros_like(output)


@pytest.mark.parametrize("name", others_slow(BUNDLES))
def test_inference_answers_an_image_or_refuses_it_with_a_reason(name, tmp_path):
    bundle = thin(name, tmp_path)
    with without_noise():
        parser = parsed(bundle, "inference.yaml")
        network, inferer = (parser.get_parsed_content(key) for key in ("network_def", "inferer"))
        before, after = (parser.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
    steps = list(before.transforms if isinstance(before, Compose) else before)
    for slices, able in ((3, network), (3, Silent(network)), (1, network)):
        channels = channels_of(steps)
        if slices == 1 and (channels > 1 or name in PHOTOGRAPHS):
            continue
        with example(bundle, tmp_path, channels, slices=slices) as path:
            item = {"image": path, "image_path": path, "model": name, "device": "cpu", "description": ""}
            if name in NO_IMAGE:
                with pytest.raises(Exception) as refused:
                    Compose(steps)(item)
                assert any(map(is_input_error, causes(refused.value)))
                continue
            assert any(isinstance(step, LoadImaged) for step in steps), "MONAI Label passes a path"
            check_answer(name, answer(item, steps, inferer, able, after), tmp_path)


def causes(error: BaseException) -> list[BaseException]:
    return [error, *(causes(error.__cause__) if error.__cause__ else [])]


def answer(item, before, inferer, network, after):
    """Run the parts in MONAI Label's order, without the writer, which it replaces."""
    for step in before:
        item = step(item)
    with torch.no_grad():
        item["pred"] = inferer(item["image"][None], network.eval())[0]
    for step in after.transforms if isinstance(after, Compose) else after:
        item = item if isinstance(step, SaveImaged) else step(item)
    return item


def check_answer(name, item, folder) -> None:
    assert "image_path" in item, "MONAI Label's writer needs it"
    json.dumps(item.get("result", {}), allow_nan=False)
    result = item["pred"]
    given = tuple(int(size) for size in item["image"].meta.get("spatial_shape", result.shape[1:]))
    # its Restored brings the result to the image's grid
    wanted = given[-len(result.shape[1:]) :] if result.ndim > 1 else ()
    if result.ndim > 1 and tuple(result.shape[1:]) != wanted:
        result = Resize(spatial_size=wanted, mode="nearest")(result)
    if "classification" in name:
        assert isinstance(result, MetaTensor) and result.ndim == 1, "one number for each class"
        return
    assert result.shape[0] == 1 and tuple(result.shape[1:]) == given[: result.ndim - 1]
    labels = torch.as_tensor(result).float()
    assert torch.equal(labels, labels.round()), "viewers cut fractions"
    # the answer has the format of the image
    pixels = np.ascontiguousarray(item["pred"][0].numpy().T)
    itk.imwrite(itk.image_from_array(pixels), str(folder / Path(item["image_path"]).name))


@pytest.mark.parametrize("name", others_slow(BUNDLES))
def test_training_takes_the_servers_images_and_masks_or_refuses_them_with_a_reason(name, tmp_path):
    bundle = thin(name, tmp_path)
    own = {"cache_dir": str(tmp_path / "cache"), "num_workers": 0, "progress": False}
    with without_noise():
        parser = parsed(bundle, "train.yaml", **own)
        preprocessing = parser.get_parsed_content("train#preprocessing")
    # bundles that do not learn from images have a single transform instead of a Compose
    steps = preprocessing.flatten().transforms if isinstance(preprocessing, Compose) else [preprocessing]
    with example(bundle, tmp_path, channels_of(steps)) as image, example(bundle, tmp_path, 1, integers=True) as label:
        parser = parsed(bundle, "train.yaml", **own)
        parser["train#dataset#data"] = [{"image": image, "label": label}]
        try:
            dataset = parser.get_parsed_content("train#dataset")
            first = dataset[0]
        except Exception as error:  # whatever MONAI wraps it in
            assert any(map(is_input_error, causes(error))), error
            return
        if "label" not in first:  # a pretext's target comes from the images
            prepare = parser.get_parsed_content("train#trainer#prepare_batch")
            _, target, *_ = prepare(dataset.__getitems__(range(min(2, len(dataset)))), "cpu")
            assert not isinstance(target, dict) or target
