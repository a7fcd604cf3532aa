"""Names and colours of methods in tables and pictures, and which methods are compared with each other; each pretext's bundle
declares its own name and colour."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

import planewise
from planewise.exams.anatomies import ANATOMIES

#: Training from scratch.
SCRATCH = "none"
#: Nakashima 2022: the parts of a method's name are the backbone, its pretraining (``full`` and ``segmented`` are SimCLR on
#: the data set's own images, whole or cropped to the heart), and the images to classify.
_BACKBONES = {"vgg16": "VGG", "densenet121": "DenseNet"}
_PRETRAININGS = ("none", "imagenet", "full", "segmented")
_IMAGES = ("full", "segmented")
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
    "released_task": "#e377c2",
    "segmentation": "#e377c2",
    "segmented": "#d62728",
}
_NAMES = {
    "none": "from scratch",
    "imagenet": "ImageNet",
    "released": "the weights that ship",
    "released_task": "the task's weights that ship",
    "segmentation": "segmentation of phantoms",
    "segmentation_unchanged": "segmentation of phantoms, as it ships",
    "multitask_simclr_patients": "multitask, then SimCLR on patients' images",
    "ssl_decoder": "SSL+Decoder",
    "ssl_all": "SSL+All",
    "ssl_multitask": "SSL+MultiTask",
    # names without a size, because a study may use smaller networks
    **{
        f"{backbone}_{pretraining}_{images}": f"{called} ({pretraining}-{images})"
        for backbone, called in _BACKBONES.items()
        for pretraining in (*_PRETRAININGS, "random")
        for images in (*_IMAGES, "predicted")
    },
}
#: Endings of a method's name, in words: a longer fine-tuning, a pretext on the images of the labelled patients, another seed,
#: the pretext on slices, a lower learning rate, weights that others trained.
_ENDINGS = {
    "_long": ", four times the steps",
    "_patients": " on patients' images",
    "_again": " again",
    "_2d": " (2D)",
    "_slow": " (lower rate)",
    "_dagger": "†",
}
#: Endings of methods that are also compared with training from scratch with the same ending, and what the methods differ in.
_CONTROLLED = {"_2d": "dimensions", "_slow": "learning rates"}


@cache
def _declared() -> dict[str, dict[str, Any]]:
    """What each pretext's bundle declares under ``planewise`` in its metadata, by the pretext's name in studies
    (``location`` for ``pretext_knee_location``); empty if no bundles are installed."""
    found = {}
    for file in sorted((Path(planewise.__file__).parent / "bundles").glob("pretext_*/configs/metadata.json")):
        words = file.parents[1].name.split("_")[1:]
        found["_".join(words[words[0] in ANATOMIES :])] = json.loads(file.read_text()).get("planewise", {})
    return found


def method_colour(method: str) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, of a method's lines; black if the method declares no colour. A method whose name has
    another's name and an ending has that method's colour at half strength."""
    if colour := _COLOURS.get(method) or _declared().get(method, {}).get("colour"):
        return to_rgb(colour)
    for ending in ("_unchanged", *_ENDINGS):
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
    name, found, rest = method.partition("_")
    if found and name == SCRATCH:
        return f"{method_name(name)}, the network of {method_name(rest)}"
    return method.replace("_", " ")


def longer(methods: Collection[str]) -> list[str]:
    """The methods that are fine-tuned for longer, if training from scratch for as long is their control."""
    return [each for each in methods if each.endswith("_long") and f"{SCRATCH}_long" in {*methods} - {each}]


def comparisons(methods: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of methods that differ in one thing, other than pretraining or not, by the ending of their table's title.

    Longer fine-tunings are compared with training from scratch for as long, and weights of another network (``zoo``) with
    that network from scratch (``none_zoo``). Methods on slices or at a lower learning rate
    are compared with the same method without the ending, and with training from scratch with the ending. Of Nakashima
    2022, methods with one backbone differ in the pretraining (each minus none; hearts alone minus whole images; these two
    minus a random frozen backbone), in the images to classify, or in the masks.
    """
    pairs = {", four times the steps": [(method, f"{SCRATCH}_long") for method in longer(methods)]}
    pairs[", each network from scratch"] = [(method, f"{SCRATCH}_{method}") for method in methods]
    for ending, what in _CONTROLLED.items():
        baseline = f"{SCRATCH}{ending}"
        pairs[f" between {what}"] = [(method, f"{method}{ending}") for method in methods]
        pairs[f" between {what}"] += [
            (each, baseline) for each in methods if each.endswith(ending) and each != baseline
        ]
    trained = [(name, "none") for name in _PRETRAININGS[1:]] + [("segmented", "full")]
    trained += [(name, "random") for name in ("full", "segmented")]
    endings = {
        "pretrainings": [(f"{one}_{images}", f"{other}_{images}") for images in _IMAGES for one, other in trained],
        "images to classify": [(f"{name}_segmented", f"{name}_full") for name in _PRETRAININGS],
        "masks": [(f"{name}_predicted", f"{name}_segmented") for name in _PRETRAININGS],
    }
    for what, names in endings.items():
        pairs[f" between {what}"] = [
            (f"{backbone}_{one}", f"{backbone}_{other}") for backbone, (one, other) in product(_BACKBONES, names)
        ]
    return {title: [pair for pair in found if {*pair} <= {*methods}] for title, found in pairs.items()}
