"""Checks that a bundle meets the requirements of MONAI Label."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import itk
import nibabel
import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged, Resize, SaveImaged
from PIL import Image
from torch import nn

from planewise.errors import InputError, is_input_error
from planewise.packaging.bundle import Bundle
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Remark, need, reason, root_cause

#: Keys of the training config that MONAI Label overrides before it starts a training.
_TRAINS = (
    "run",
    "device",
    "train#trainer#max_epochs",
    "train#dataset#data",
    "validate#dataset#data",
    "train#handlers",
)
_INFERS = ("network_def", "preprocessing", "inferer", "postprocessing", "device")
#: Image shapes for trying MONAI Label's inference: a stack, and a single slice.
_IMAGES = ((40, 36, 3), (40, 36))
#: Rows, columns and colours of a photograph.
_PHOTOGRAPH = (72, 80, 3)


def channels(candidate: Candidate) -> str:
    """MONAI Label finds the input, the output and the channel names in metadata.json."""
    form = candidate.bundle.metadata["network_data_format"]
    first = next(iter(form["inputs"])), next(iter(form["outputs"]))
    need(
        first == ("image", "pred"), f"the first input and output must be image and pred, got {first[0]} and {first[1]}"
    )
    named = form["outputs"]["pred"].get("channel_def", {})
    names = [str(name).lower() for name in named.values()]
    need(all(str(key).isdigit() for key in named), "the keys of channel_def must be numbers")
    need(
        len(set(names)) == len(names),
        "two names in channel_def are equal in lower case, which MONAI Label uses; rename one of them",
    )
    if "classification" not in candidate.bundle.name:
        need(
            not names or names[0] == "background", "MONAI Label takes channel 0 for the background; call it background"
        )
    return ", ".join(names)


def stand_alone(candidate: Candidate) -> None:
    """The configs that MONAI Label opens do not depend on any other file."""
    for file in ("train.yaml", "inference.yaml"):
        text = re.sub(r"(^|\s)#.*", "", candidate.bundle.texts.get(file, ""))
        # a percent sign is a macro at the beginning of a value, but not within a string
        need(
            not re.search(r"""[:\-,\[]\s+["']?%""", text),
            f"{file} includes another file (%), but MONAI Label opens it alone",
        )
        need(
            not re.search(r"@_meta_|__meta__", text), f"{file} refers to metadata.json, which MONAI Label does not read"
        )


def handlers(candidate: Candidate) -> None:
    """MONAI Label can change the lists of handlers."""
    for file, places in (("train.yaml", ("train", "validate")), ("inference.yaml", ("",))):
        for place in places:
            config = candidate.bundle.config(file)
            _check_handlers((config.get(place, {}) if place else config).get("handlers", []), file, place)


def _check_handlers(entries: Any, file: str, place: str) -> None:
    need(isinstance(entries, list), f"{file}: {place} handlers must be a list")
    odd = [entry for entry in entries if not isinstance(entry, Mapping) or "_target_" not in entry]
    need(not odd, f"{file}: every entry of the {place} handlers must be a dictionary with _target_")
    # our own WeightsLoader needs no map_location
    loaders = [entry for entry in entries if entry["_target_"] == "CheckpointLoader"]
    need(
        all("map_location" in entry for entry in loaders),
        f"{file}: a CheckpointLoader without map_location needs the device that trained its weights; set map_location",
    )


def settable_names(candidate: Candidate) -> None:
    """The configs have all keys that MONAI Label sets."""
    for file, ids in (("inference.yaml", _INFERS), ("train.yaml", _TRAINS)):
        parser = ConfigParser(candidate.bundle.config(file))
        missing = [name for name in ids if name not in parser]
        if missing and not candidate.takes_images:
            raise Remark(
                f"{file} lacks {', '.join(missing)}; the network takes no image, so MONAI Label cannot run it anyway"
            )
        need(not missing, f"{file} lacks {', '.join(missing)}")


def inference(candidate: Candidate) -> str:
    """MONAI Label's inference works: transforms, network and inferer run in its order on generated data, without its
    server."""
    bundle = candidate.bundle
    config = bundle.config("inference.yaml")
    parser = ConfigParser(config | {"device": "cpu", "bundle_root": str(bundle.folder)})
    network, inferer = (parser.get_parsed_content(key) for key in ("network_def", "inferer"))
    before, after = (_transforms(parser.get_parsed_content(key)) for key in ("preprocessing", "postprocessing"))
    # compared by name, because a packaged bundle has its own class
    two_phases = any(type(step).__name__ == "RequirePhased" for step in before)
    if not candidate.takes_images or two_phases:
        what = "an exam at two phases" if two_phases else "no image"
        raise Remark(f"the network takes {what}, and MONAI Label answers: {_refusal(bundle, before)}")
    need(
        any(isinstance(step, LoadImaged) for step in before),
        "preprocessing has no LoadImaged, but MONAI Label passes a path",
    )
    if _of_photographs(before):
        for able in (network, _Silent(network)):
            _check_result(bundle, _infer(bundle, before, inferer, able, after, _PHOTOGRAPH))
        return "from a photograph"
    channels = _channels(before)
    if channels > 1:
        _check_result(bundle, _infer(bundle, before, inferer, network, after, (*_IMAGES[0], channels)))
        return f"from a volume of {channels} channels, in a file of four dimensions"
    for shape in _IMAGES:
        _check_result(bundle, _infer(bundle, before, inferer, network, after, shape))
    # if a network finds nothing, scores may be NaN
    _check_result(bundle, _infer(bundle, before, inferer, _Silent(network), after, _IMAGES[0]))
    return "from a stack and from a slice"


def _channels(before: Sequence) -> int:
    """Number of image channels that the transforms take; 1 if they do not define it."""
    return next((step.channels for step in before if getattr(step, "channels", None)), 1)


def _of_photographs(before: Sequence) -> bool:
    """Whether the transforms read photographs."""
    # compared by name, because a packaged bundle has its own class
    return any(type(step).__name__ == "LoadPhotographd" for step in before)


class _Silent(nn.Module):
    """A network whose output is zero everywhere. The output of its encoder is zero, too, for inferers that use only the
    encoder."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        if hasattr(network, "encoder"):
            self.encoder = _Silent(network.encoder)

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        output = self.network(image)
        return [torch.zeros_like(level) for level in output] if isinstance(output, list) else torch.zeros_like(output)


def _refusal(bundle: Bundle, before: Sequence) -> str:
    """The message with which the transforms refuse an image that the network cannot take. For any other error, a MONAI Label
    user sees status 500 without an explanation, so the check fails.
    """
    with _example(_IMAGES[0]) as path:
        item = _request(bundle, path)
        try:
            for step in before:
                item = step(item)
        except Exception as error:
            if is_input_error(error):
                return str(error)
            raise InputError(
                f"MONAI Label answers 500 to an image ({reason(error)}); raise an InputError with the reason"
            ) from None
    raise InputError("preprocessing takes an image although the network does not")


def _infer(
    bundle: Bundle, before: Sequence, inferer: Callable, network: nn.Module, after: Sequence, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Run MONAI Label's inference on an image of random numbers; return the item as it is before the result is written."""
    with _example(shape) as path:
        item = _request(bundle, path)
        try:
            for step in before:
                if isinstance(step, LoadImaged):
                    step._loader.image_only = False  # as set by MONAI Label
                item = step(item)
            with torch.no_grad():
                item["pred"] = inferer(item["image"][None], network.eval())[0]
            for step in (step for step in after if not isinstance(step, SaveImaged)):
                item = step(item)
        except Exception as error:
            raise InputError(f"an image of shape {shape}: {reason(error)}") from None
    return item


@contextmanager
def _example(shape: tuple[int, ...], integers: bool = False) -> Iterator[str]:
    """The path of a temporary volume of random numbers (fractions, or the labels 0 and 1), or of a photograph, if its shape
    is `_PHOTOGRAPH`."""
    with tempfile.TemporaryDirectory() as folder:
        if shape == _PHOTOGRAPH:
            pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder) / "image.png")
            yield str(Path(folder) / "image.png")
            return
        path = str(Path(folder) / "image.nii.gz")
        # slices from right to left, so that it may be a sagittal series, too
        affine = np.diag([1.7, 1.5, 8.0, 1.0])[[2, 0, 1, 3]]
        affine[:3, 3] = 5, -4, 3
        values = np.random.default_rng(0).random(shape, np.float32)
        nibabel.save(nibabel.Nifti1Image(values.round().astype(np.uint8) if integers else values, affine), path)
        yield path


def _request(bundle: Bundle, path: str) -> dict[str, Any]:
    return {"image": path, "image_path": path, "model": bundle.name, "device": "cpu", "description": ""}


def training(candidate: Candidate) -> str:
    """The bundle learns from MONAI Label's training data, volumes with masks, or says why it cannot. Some pretexts learn
    from the images alone."""
    bundle = candidate.bundle
    preprocessing = ConfigParser(bundle.config("train.yaml")).get_parsed_content("train#preprocessing")
    # bundles that do not learn from images have a single transform instead of a Compose
    steps = preprocessing.flatten().transforms if isinstance(preprocessing, Compose) else [preprocessing]
    channels = _channels(steps)
    shape = _PHOTOGRAPH if _of_photographs(steps) else (*_IMAGES[0], channels) if channels > 1 else _IMAGES[0]
    with _example(shape) as image, _example(_IMAGES[0], integers=True) as label:
        parser = ConfigParser(
            bundle.config("train.yaml")
            | {
                "device": "cpu",
                "bundle_root": str(bundle.folder),
                "cache_dir": str(candidate.scratch / "cache"),
                "num_workers": 0,
                "progress": False,
            }
        )
        parser["train#dataset#data"] = [{"image": image, "label": label}]
        try:
            dataset = parser.get_parsed_content("train#dataset")
            first = dataset[0]
        except Exception as error:
            cause = root_cause(error)
            if is_input_error(cause):
                return f"is refused: {cause}"
            raise InputError(
                f"a training in MONAI Label ends with {reason(error)}; raise an InputError with the reason"
            ) from None
    learned = "learns from a volume" if first["image"].ndim == 4 else f"learns from {len(dataset)} slices of a volume"
    if "label" in first:
        return learned
    # a pretext's target comes from the images
    _, target, *_ = parser.get_parsed_content("train#trainer#prepare_batch")(
        dataset.__getitems__(range(min(2, len(dataset)))), "cpu"
    )
    need(not isinstance(target, dict) or target, "MONAI Label's training batches have neither labels nor targets")
    return f"{learned}, without their masks"


def _check_result(bundle: Bundle, item: dict[str, Any]) -> None:
    need("image_path" in item, "the transforms remove image_path, but MONAI Label's writer needs it")
    try:
        given = _restored(item)
    except Exception as error:
        raise InputError(
            f"MONAI Label answers 500: its Restored cannot bring a result of shape {tuple(item['pred'].shape)} to the "
            f"image's grid ({reason(error)})"
        ) from None
    try:
        json.dumps(item.get("result", {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"MONAI Label answers 500 to `output=json`: result is not valid JSON ({error})") from None
    if "classification" in bundle.name:
        # its ClassificationWriter
        need(isinstance(given, MetaTensor), "MONAI Label answers 500: the classes are not a MetaTensor")
        need(
            given.ndim == 1,
            f"MONAI Label answers 500: it takes one number per class, but the result is {tuple(given.shape)}",
        )
        return
    prediction = item["pred"]
    need(prediction.shape[0] == 1, f"{prediction.shape[0]} channels are left; MONAI Label writes one (argmax)")
    values = torch.as_tensor(prediction).float()
    need(
        bool((values == values.round()).all()),
        "the result contains fractions, which a viewer truncates to whole numbers; return labels as `pred` and "
        "numbers as `result`",
    )
    given = tuple(int(size) for size in item["image"].meta["spatial_shape"])
    need(
        tuple(prediction.shape[1:]) == given[: prediction.ndim - 1],
        f"the result has shape {tuple(prediction.shape[1:])}, but the image has {given}: postprocessing lacks Invertd",
    )
    # the answer has the format of the image
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(item["image_path"]).name
        try:
            itk.imwrite(itk.image_from_array(np.ascontiguousarray(prediction[0].numpy().T)), str(file))
        except RuntimeError as error:
            raise InputError(
                f"MONAI Label answers 500: {file.suffix} cannot hold the labels ({reason(error)})"
            ) from None


def _restored(item: Mapping[str, Any]) -> Any:
    """``pred`` on the image's grid, as MONAI Label 0.8.5 resizes it at the end (`monailabel.transform.post.Restored`)."""
    image, result = item["image"], item["pred"]
    meta = image.meta if isinstance(image, MetaTensor) else {}
    size = tuple(result.shape[1:])
    wanted = meta.get("spatial_shape", size)
    wanted = wanted[-len(size) :]
    if np.any(np.not_equal(size, wanted)):
        result = Resize(spatial_size=wanted, mode="nearest")(result)
    return result


def _transforms(steps: Any) -> list[Callable]:
    """The transforms as a list, which MONAI Label accepts.

    Raises:
        InputError: the config has a single transform instead of a Compose or a list.
    """
    found = steps.transforms if isinstance(steps, Compose) else steps
    need(
        isinstance(found, (list, tuple)), "MONAI Label answers 500: a single transform is neither a Compose nor a list"
    )
    return list(found)
