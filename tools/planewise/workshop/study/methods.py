"""Names and colours of methods in tables and pictures; each pretext's bundle declares its own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

import planewise
from planewise.exams.anatomies import ANATOMIES

#: Nakashima 2022: the parts of a method's name are the backbone, its pretraining (``full`` and ``segmented`` are SimCLR on
#: the data set's own images, whole or cropped to the heart), and the images to classify.
BACKBONES = ("vgg16", "densenet121")
PRETRAININGS = ("none", "imagenet", "full", "segmented")
IMAGES = ("full", "segmented")
#: Colours of methods that have no pretext bundle.
_COLOURS = {
    "none": "#7f7f7f",
    "imagenet": "#2ca02c",
    "ssl_decoder": "#ff7f0e",
    "ssl_all": "#1f77b4",
    "ssl_multitask": "#d62728",
    "supervised": "#2ca02c",
    "none_2d": "#c7c7c7",
    "full": "#1f77b4",
    "released": "#8c564b",
    "segmentation": "#e377c2",
    "segmented": "#d62728",
}
_NAMES = {
    "none": "from scratch",
    "imagenet": "ImageNet",
    "released": "the weights that ship",
    "segmentation": "segmentation of phantoms",
    "segmentation_unchanged": "segmentation of phantoms, as it ships",
    "multitask_simclr_patients": "multitask, then SimCLR on patients' images",
    "ssl_decoder": "SSL+Decoder",
    "ssl_all": "SSL+All",
    "ssl_multitask": "SSL+MultiTask",
    # names without a size, because a study may use smaller networks
    **{
        f"{backbone}_{pretraining}_{images}": f"{called} ({pretraining}-{images})"
        for backbone, called in {"vgg16": "VGG", "densenet121": "DenseNet"}.items()
        for pretraining in (*PRETRAININGS, "random")
        for images in (*IMAGES, "predicted")
    },
}
#: Endings of a method's name: another seed, the pretext on slices, a lower learning rate, weights that others trained;
#: a longer fine-tuning, a pretext on the images of the labelled patients.
_ENDINGS = {
    "_long": ", four times the steps",
    "_patients": " on patients' images",
    "_again": " again",
    "_2d": " (2D)",
    "_slow": " (lower rate)",
    "_dagger": "†",
}


def pretext_of(bundle: str) -> str:
    """A pretext's name in studies: ``pretext_knee_location`` to ``location``."""
    words = bundle.split("_")[1:]
    return "_".join(words[1:] if words[0] in ANATOMIES else words)


@cache
def _declared() -> dict[str, dict[str, Any]]:
    """What each pretext's bundle declares under ``planewise`` in its metadata; empty if no bundles are installed."""
    files = sorted((Path(planewise.__file__).parent / "bundles").glob("pretext_*/configs/metadata.json"))
    return {pretext_of(file.parents[1].name): json.loads(file.read_text()).get("planewise", {}) for file in files}


def method_colour(method: str) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, of a method's lines; black if the method declares no colour. A method that repeats
    another with another seed (``_again``), on slices (``_2d``) or at a lower learning rate (``_slow``) has that method's
    colour at half strength."""
    if colour := _COLOURS.get(method) or _declared().get(method, {}).get("colour"):
        return to_rgb(colour)
    for ending in ("_long", "_patients", "_unchanged", "_again", "_2d", "_slow"):
        name, found, _ = method.partition(ending)
        if found:
            return tuple((1 + np.array(method_colour(name))) / 2)
    return to_rgb("k")


def method_name(method: str) -> str:
    """The name of a method on a page or in a picture. A repetition with another seed has the name of the first run, followed
    by ``again``."""
    if known := _NAMES.get(method) or _declared().get(method, {}).get("method"):
        return known
    for ending, words in _ENDINGS.items():
        name, found, rest = method.partition(ending)
        if found:
            return method_name(name) + words + rest.replace("_", " ")
    return method.replace("_", " ")
