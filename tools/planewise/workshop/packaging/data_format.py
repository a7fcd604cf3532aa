"""The form of a network's input and output: in metadata.json, adapted to the settings of a run, and in an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from monai.bundle.scripts import _get_fake_spatial_shape
from torch import nn

from planewise.workshop.packaging.bundle import Bundle


def sides(shape: Sequence[str | int], n: int = 1) -> list[int]:
    """The sides of an image in pixels, from metadata's ``spatial_shape``, whose formulas are of ``n``."""
    return list(_get_fake_spatial_shape(shape, n=n))


def adapt_format(
    form: dict[str, Any],
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    network: nn.Module,
    of_photographs: bool = False,
) -> None:
    """Update ``network_data_format``, which comes from the bundle's metadata, in place.

    Args:
        form: the form of input and output.
        config: the package's inference config.
        settings: those of its settings that differ from the bundle's.
        network: the package's network, in evaluation mode.
        of_photographs: whether the run learned from photographs.
    """
    image, output = form["inputs"]["image"], form["outputs"]["pred"]
    names = settings.get("channels", ())
    if of_photographs:
        image |= {"format": "RGB", "modality": "fundus photograph", "value_range": [0, 1]}
        names = ("red", "green", "blue")
    if "structures" in settings:
        classes = ["background", *map(str, settings["structures"].values())]
        output |= {"num_channels": len(classes), "channel_def": dict(_numbered(classes))}
    pieces = getattr(network, "pieces", 1)
    channels = config.get("in_channels")
    if isinstance(channels, int) and (names or pieces * channels != image["num_channels"]):
        names = list(names) or [f"channel {number + 1}" for number in range(channels)]
        if pieces > 1:
            names = [f"piece {piece + 1}, {name}" for piece in range(pieces) for name in names]
        image |= {"num_channels": len(names), "channel_def": dict(_numbered(names))}
    dims = config.get("spatial_dims")
    for tensor in (image, output):
        shape = tensor.get("spatial_shape") or []
        if dims and len(shape) not in (0, dims):
            tensor["spatial_shape"] = [*shape, *shape][:dims]
    if image["spatial_shape"]:
        with torch.no_grad():
            _fit_sides(image, output, network)


def _fit_sides(image: dict[str, Any], output: dict[str, Any], network: nn.Module) -> None:
    """Enlarge the sides to those that the network's encoder takes (``16*n`` to ``32*n`` or ``64*n``), and count the outputs
    without names, like those of an embedding. If no side fits, MONAI's verifier reports the reason."""
    sizes = sides(image["spatial_shape"])
    for times in (1, 2, 4):
        with suppress(RuntimeError, ValueError):
            network(torch.zeros(1, image["num_channels"], *(times * size for size in sizes)))
            break
    else:
        return
    if times > 1:
        for tensor in (image, output):
            tensor["spatial_shape"] = [f"{times * size}*n" for size in sides(tensor.get("spatial_shape") or [])]
    named = len(output.get("channel_def", {})) >= output["num_channels"]
    if not output.get("spatial_shape") and not named:
        # two samples, and sides above the minimum, so that no level is left without a pixel
        output["num_channels"] = network(
            torch.zeros(2, image["num_channels"], *(4 * times * size for size in sizes))
        ).shape[1]


def _numbered(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(str(number), name) for number, name in enumerate(names)]


#: Number of slices for tracing a network on stacks; the file takes any number.
_SLICES = 24


def onnx_options(bundle: Bundle) -> dict[str, Any]:
    """Options of MONAI's `onnx_export` for a bundle, without which the file takes only one image of the smallest size in
    metadata.json: images have the inference config's ``image_size``; the number of slices stays open."""
    image = bundle.metadata["network_data_format"]["inputs"]["image"]
    config = bundle.config("inference.yaml")
    size, shape = config.get("image_size"), image["spatial_shape"]
    sizes = sides(shape) if size is None else [int(size)] * len(shape)
    flat = "photographs" if image["format"] == "RGB" else "slices"
    of_volumes = config.get("spatial_dims") == 3
    samples = "volumes" if of_volumes else {0: "exams", 2: flat}.get(len(sizes), "stacks")
    names = {"image": {0: samples}, "pred": {0: samples}}
    if len(sizes) == 3 and not of_volumes:
        sizes[2] = _SLICES
        names["image"][4] = "slices"
    # torch's other exporter (dynamo) also needs the package onnxscript and takes ten times as long
    kwargs = {"dynamo": False, "input_names": ["image"], "output_names": ["pred"], "dynamic_axes": names}
    return {"input_shape": [1, image["num_channels"], *sizes], "converter_kwargs": kwargs}


def onnx_command(bundle: Bundle) -> str:
    """The command line of the export, to be run in the bundle's folder; the values have no spaces."""
    shape, kwargs = (repr(value).replace(" ", "") for value in onnx_options(bundle).values())
    lines = (
        "python -m monai.bundle onnx_export --net_id network_def --filepath models/model.onnx",
        "  --ckpt_file models/model.pt --meta_file configs/metadata.json --config_file configs/inference.yaml",
        f'  --use_trace True --input_shape "{shape}"',
        f'  --converter_kwargs "{kwargs}"',
    )
    return " \\\n".join(lines)
