"""Segment hearts with a bundle of MONAI's Model Zoo: its network, its preprocessing, our label values.

The bundle's config is data, not code: no expression in it is evaluated. Its components are classes of MONAI with plain
arguments; whatever reads or writes files is left out, because `planewise segment` does that itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import monai.inferers
import monai.networks.nets
import monai.transforms
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, InvertibleTransform
from torch import nn

from planewise.data.readable_items import reason_of
from planewise.errors import InputError
from planewise.files.masks import HEART_STRUCTURES
from planewise.files.nifti import write_nifti
from planewise.files.text import read_json
from planewise.findings import Finding
from planewise.networks.pretrained import weights_of
from planewise.own_exams.bundles import Provenance
from planewise.own_exams.masks import mask_file
from planewise.preprocessing import LoadStackd
from planewise.preprocessing.exam_name import volume_name

CONFIG, METADATA = "configs/inference.json", "configs/metadata.json"
#: Transforms of a config that read, write or move data.
_FILES = ("LoadImage", "EnsureChannelFirst", "EnsureType", "ToDevice", "SaveImage")
#: Words that name the structures of a short axis in a bundle's ``channel_def``, and the structures of planewise.
_WORDS = {"myo": "myocardium", "lv": "LV", "left": "LV", "rv": "RV", "right": "RV"}


def zoo_bundle(folder: Path) -> ZooBundle | None:
    """The bundle in a folder, also of one of its files in ``models``, if it is not one of planewise's, whose packages have
    ``configs/inference.yaml``, too."""
    folder = folder.parent.parent if folder.is_file() else folder
    of_zoo = (folder / CONFIG).is_file() and not (folder / CONFIG).with_suffix(".yaml").is_file()
    return ZooBundle(folder.resolve()) if of_zoo else None


class ZooBundle:
    """The network of a zoo's bundle that segments the short axis of hearts.

    Args:
        folder: the bundle's folder, with ``configs/inference.json``, ``configs/metadata.json`` and ``models/model.pt``.

    Raises:
        InputError: a file is missing, a part of the config is more than a MONAI class with plain arguments, the weights do
            not fit the network, or the metadata do not name the left ventricle, the myocardium and the right ventricle.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = read_json(folder / CONFIG, "a bundle's config")
        self.metadata = read_json(folder / METADATA, "a bundle's metadata")
        self.values = _own_values(self.metadata, folder)
        self.network = _made(_part(config, "network_def", folder), monai.networks.nets, nn.Module, folder)
        self.network.load_state_dict(weights_of(self.network, folder))
        self.network.eval()
        before = _part(config, "preprocessing", folder).get("transforms", [])
        self.before = Compose([_made(each, monai.transforms, object, folder) for each in _without_files(before)])
        self.inferer = _made(_part(config, "inferer", folder), monai.inferers, monai.inferers.Inferer, folder)

    def labels(self, image: torch.Tensor, affine: np.ndarray) -> np.ndarray:
        """The label map ``(i, j, slices)``, uint8, in planewise's values (1 RV, 2 myocardium, 3 LV), of a volume
        ``(i, j, slices)`` with its affine (RAS+, mm)."""
        volume = MetaTensor(torch.as_tensor(np.asarray(image), dtype=torch.float32)[None], affine=affine)
        item = self.before({"image": volume})
        with torch.no_grad():
            try:
                item["pred"] = self.inferer(item["image"][None], self.network)[0]
            except RuntimeError as error:
                raise InputError(
                    f"{self.folder / CONFIG}: {type(self.inferer).__name__} does not fit a stack of slices "
                    f"({str(error).splitlines()[0]:.120}); run this bundle with `python -m monai.bundle run`"
                ) from error
        if any(isinstance(step, InvertibleTransform) for step in self.before.transforms):
            item = Invertd("pred", transform=self.before, orig_keys="image", nearest_interp=False, to_tensor=True)(item)
        found = np.asarray(item["pred"].argmax(dim=0))
        own = np.zeros(int(found.max()) + 1, np.uint8)
        for value, structure in self.values.items():
            own[value : value + 1] = structure
        return own[found]

    def segment(self, masks: Path) -> Callable[..., dict[str, Finding]]:
        """A function that writes the masks of stacks where planewise's own bundle writes them, and is called like
        `planewise.engines.Inference`."""

        def run(items: Iterable[Mapping[str, Any]], watch: Callable[[Any], None]) -> dict[str, Finding]:
            for item in items:
                try:
                    found = LoadStackd("image", remarks=False)(item)
                except InputError as error:
                    return {item["exam"]: reason_of(error)}
                name, image = volume_name(item), found["image"]
                mask_file(masks, name).parent.mkdir(parents=True, exist_ok=True)
                write_nifti(mask_file(masks, name), self.labels(image, image.affine), image.affine)
                watch({**found, "native_image": image[None]})
            return {}

        return run

    @property
    def provenance(self) -> Provenance:
        """Whose weights they are, and what they were trained on, as far as the metadata say."""
        data = self.metadata.get("data_source") or "data that its metadata do not name"
        more = f"by {self.metadata.get('authors') or 'unknown authors'}, trained on {data}"
        return replace(Provenance.of(self.folder, self.folder), owner="weights of another bundle", more=more)


def _part(config: Mapping[str, Any], key: str, folder: Path) -> dict[str, Any]:
    if not isinstance(config.get(key), dict):
        raise InputError(f"{folder / CONFIG} has no {key}, which planewise needs; name another bundle")
    return config[key]


def _without_files(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [step for step in steps if not str(step.get("_target_")).rpartition(".")[2].startswith(_FILES)]


def _made(spec: Mapping[str, Any], module: Any, kind: type, folder: Path) -> Any:
    """An object of a class that a module of MONAI exports, made with plain arguments."""
    target = str(spec.get("_target_")).rpartition(".")[2]
    given = {key: value for key, value in spec.items() if not key.startswith("_") and value != "@device"}
    made = getattr(module, target, None)
    if not inspect.isclass(made) or not issubclass(made, kind) or any(map(_is_expression, given.values())):
        raise InputError(
            f"{folder / CONFIG}: {target} is no class of {module.__name__} with plain arguments; planewise runs no code of "
            "other bundles, so run this one with `python -m monai.bundle run`"
        )
    try:
        return made(**given)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder / CONFIG}: {target} cannot be made ({error}); this MONAI may be another version"
        ) from None


def _is_expression(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(map(_is_expression, value.values()))
    if isinstance(value, list):
        return any(map(_is_expression, value))
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def _own_values(metadata: Mapping[str, Any], folder: Path) -> dict[int, int]:
    """Maps each of the bundle's label values to planewise's, by the names in its ``channel_def``."""
    outputs = metadata.get("network_data_format", {}).get("outputs", {})
    named = outputs.get("pred", {}).get("channel_def", {})
    structures = {name: value for value, name in HEART_STRUCTURES["sax"].items()}
    found = {}
    for value, name in named.items():
        word = next((word for word in _WORDS if word in str(name).lower()), None)
        if word is not None and str(value).isdigit():
            found[int(value)] = structures[_WORDS[word]]
    if sorted(found.values()) != sorted(structures.values()):
        raise InputError(
            f"{folder / METADATA} names the channels {', '.join(map(str, named.values())) or 'not at all'}; planewise needs "
            "the left ventricle, the myocardium and the right ventricle, once each"
        )
    return found
