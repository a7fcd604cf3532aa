"""Draw the picture of tools/docs/pretexts.md: the input and target of each pretext's network, from its own train.yaml."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
#: Bundles to show, with settings that make their inputs slices of the heart.
SHOWN: dict[str, dict[str, Any]] = {
    "pretext_cardiac_orientation": {},
    "pretext_cardiac_location": {},
    "pretext_cardiac_sax_position": {},
    "pretext_simclr": {},
    "pretext_masked_autoencoder": {},
    "pretext_models_genesis": {},
    "pretext_jigsaw": {},
    "pretext_relative_patch_location": {"spatial_dims": 2, "volumes": False, "image_size": 96},
    "pretext_rotation": {"spatial_dims": 2, "volumes": False, "image_size": 96},
    "pretext_slice_order": {},
}


def batch_of(bundle: str, datalist: str, **settings: Any) -> tuple[torch.Tensor, Any]:
    """Inputs and targets of a bundle's first training batch."""
    configs = BUNDLES / bundle / "configs"
    parser = ConfigParser()
    parser.read_config([str(configs / file) for file in ("train.yaml", "demo.yaml")])
    run = {"bundle_root": str(configs.parent), "datalist": datalist, "device": "cpu", "num_workers": 0, "batch_size": 6}
    parser.update(run | settings)
    set_determinism(1)
    (batch,) = [next(iter(parser.get_parsed_content("train#dataloader")))]
    inputs, targets = parser.get_parsed_content("train#trainer#prepare_batch")(batch, torch.device("cpu"))[:2]
    return inputs, targets


def tiled(pieces: torch.Tensor, per_side: int) -> np.ndarray:
    """Pieces ``(n, i, j)`` as one picture, with gaps between them."""
    padded = torch.nn.functional.pad(pieces, (2, 2, 2, 2), value=float(pieces.max()))
    return torch.cat([torch.cat(list(row), 1) for row in padded.split(per_side)], 0).numpy()


def panels(bundle: str, image: torch.Tensor, target: Any) -> tuple[list[np.ndarray], str]:
    """Pictures of one item's input and target, and the target in words."""
    first = image[0].numpy()
    kind = bundle.removeprefix("pretext_").removeprefix("cardiac_")
    match kind:
        case "orientation":
            return [
                first,
                *target["heatmaps"].numpy(),
            ], "predicts the lines in which the 2ch and 4ch planes cut the slice"
        case "location":
            return [first], f"predicts its location: {target['location']:.2f}, between base (0) and apex (1)"
        case "sax_position":
            return [first, target["squares"].numpy()], "predicts nine positions along these lines"
        case "masked_autoencoder" | "models_genesis":
            return [first, target["restored"][0].numpy()], "predicts the original"
        case "jigsaw":
            side = round(len(image) ** 0.5)
            return [tiled(image, side)], f"predicts the permutation of the tiles: number {int(target['permutation'])}"
        case "relative_patch_location":
            return list(
                image.numpy()
            ), f"predicts where the second patch lies relative to the first: place {int(target['place'])}"
        case "rotation":
            return [first], f"predicts the rotation: {90 * int(target['rotation'])} degrees"
        case "slice_order":
            nearer = "first" if target["first_is_nearer"] else "second"
            return list(image.numpy()), f"predicts which slice is nearer to the base: the {nearer}"
        case _:
            return list(image.numpy()), "finds the second view among those of other slices"


def draw(datalist: str, file: str, shown: Sequence[str] = tuple(SHOWN), item: int = 4) -> None:
    """Draw every pretext: its name, its target in words, its input and its target."""
    figure = plt.figure(figsize=(11, 2.2 * ((len(shown) + 1) // 2)), layout="constrained")
    for part, bundle in zip(figure.subfigures((len(shown) + 1) // 2, 2).flat, shown, strict=True):
        inputs, targets = batch_of(bundle, datalist, **SHOWN[bundle])
        target = {key: values[item] for key, values in targets.items()} if isinstance(targets, dict) else None
        pictures, words = panels(bundle, torch.as_tensor(inputs[item]), target)
        part.suptitle(f"{bundle}\n{words}", fontsize=11)
        for axis, picture in zip(part.subplots(1, 3), (*pictures, None, None), strict=False):
            axis.axis("off")
            if picture is not None:
                axis.imshow(picture.T, cmap="nipy_spectral" if picture.dtype.kind in "iu" else "gray")
    figure.savefig(file, dpi=80)


if __name__ == "__main__":
    matplotlib.use("agg")
    draw(*sys.argv[1:3])
