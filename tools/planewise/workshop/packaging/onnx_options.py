"""Choose options with which the export of a bundle's network gives a useful ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.data_format import sides

#: Number of slices for tracing a network on stacks; the file takes any number.
_SLICES = 24


@dataclass(frozen=True)
class OnnxOptions:
    """Options of MONAI's `onnx_export`. Without them, the file takes only one image of the smallest size in metadata.json."""

    input_shape: list[int]
    """Shape of one image from the inference config."""
    names: dict[str, dict[int, str]]
    """Axes of variable size in ``image`` and in ``pred``, each with its name."""

    @property
    def converter_kwargs(self) -> dict[str, Any]:
        # torch's other exporter (dynamo) also needs the package onnxscript and takes ten times as long
        names = {"input_names": ["image"], "output_names": ["pred"]}
        return {"dynamo": False, **names, "dynamic_axes": self.names}

    @property
    def command(self) -> str:
        """The command line, to be run in the bundle's folder; the values have no spaces."""
        shape, kwargs = (repr(value).replace(" ", "") for value in (self.input_shape, self.converter_kwargs))
        lines = (
            "python -m monai.bundle onnx_export --net_id network_def --filepath models/model.onnx",
            "  --ckpt_file models/model.pt --meta_file configs/metadata.json --config_file configs/inference.yaml",
            f'  --use_trace True --input_shape "{shape}"',
            f'  --converter_kwargs "{kwargs}"',
        )
        return " \\\n".join(lines)


def onnx_options(bundle: Bundle) -> OnnxOptions:
    """The options for a bundle.

    Images have the in-plane size of the inference config's ``image_size``; the number of slices stays open. For a
    network on volumes (``spatial_dims`` is 3), all sides have the size ``image_size``.
    """
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
    return OnnxOptions([1, image["num_channels"], *sizes], names)
