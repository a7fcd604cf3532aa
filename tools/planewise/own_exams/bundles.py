"""Find bundles and their weights, load a bundle's network in this process, and say which weights made a result, in the
same words in every file and on the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from monai.bundle import ConfigParser
from torch import nn

import planewise
from planewise.engines.check_settings import check_plain_settings
from planewise.engines.processes import keep_quiet
from planewise.engines.run_bundle import follow_weights
from planewise.engines.run_record import PATIENTS, RELEASED, WEIGHTS_SUM, own_code, read_table, scores_in_words
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.networks import weights_path
from planewise.networks.pretrained import weights_of
from planewise.words import as_sentence, did_you_mean, nearest

PLANS, SEGMENTS = "pretext_cardiac_multitask", "downstream_cardiac_sax_segmentation"
#: The weights in a folder of the Hugging Face Hub (`planewise package --hub`).
HUB_WEIGHTS = "model.safetensors"
#: The name of a repository on the hub: an owner and a name.
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")
#: Digits of the checksum in a sentence: enough to tell weights apart.
_SHORT = 12


@dataclass(frozen=True)
class LoadedBundle:
    """A loaded bundle."""

    folder: Path
    network: nn.Module = field(repr=False)
    config: ConfigParser = field(repr=False)
    """the config of inference, with the settings of the weights' training: ``config["image_size"]`` is a setting,
    ``config.get_parsed_content("preprocessing")`` an object"""
    weights: Path | None
    """file of the weights; None for a network with random weights"""


def load_bundle(
    bundle: str | Path,
    weights: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> LoadedBundle:
    """Load a bundle's network.

    A package, and so a repository, contains code, which runs: load only those that you trust, by a commit.

    Args:
        bundle: name of one of planewise's bundles; the folder of a bundle, such as an unpacked zip; or a repository of the
            Hugging Face Hub, such as ``user/name``, which is downloaded if a revision is given.
        weights: a run's folder or a checkpoint; None uses the weights that ship with the bundle, if any.
        device: for the network.
        revision: commit, branch or tag of the repository.

    Raises:
        InputError: there is no such bundle, there are no such weights, or the weights do not fit.
    """
    keep_quiet()
    folder = Path(bundle).expanduser()
    if not (folder / "configs").is_dir():
        folder = bundles_folder() / bundle
    if not folder.exists() and _REPOSITORY.fullmatch(str(bundle)):
        if revision is None:  # the code of a repository runs, so a path that is mistyped must not name one
            raise InputError(
                f"there is no folder {bundle}; for a repository of this name on the Hugging Face Hub, add revision=, a "
                "commit, a tag or 'main'"
            )
        folder = _downloaded(str(bundle), revision)
    folder = folder.resolve()
    file = folder / "configs" / "inference.yaml"
    if not file.is_file():
        near = did_you_mean(nearest(folder.name, (path.name for path in folder.parent.glob("*"))))
        raise InputError(f"there is no bundle {bundle} in {folder.parent}{near}; name its folder")
    if own_code(folder):
        sys.path.insert(0, str(folder))
    config = ConfigParser(ConfigParser.load_config_file(str(file)))
    config.update({"bundle_root": str(folder), "device": str(device)})
    used = _weights_of(folder, weights)
    if used is not None:
        used = Path(weights_path(used))
        config["weights"] = str(used)
        if used != folder / HUB_WEIGHTS:  # the configs there have the settings of its own weights
            follow_weights(config)
        check_plain_settings(config.get())
    network = config.get_parsed_content("network_def")
    if used is not None:
        network.load_state_dict(weights_of(network, used))
    return LoadedBundle(folder, network.to(device).eval(), config, used)


def _downloaded(repository: str, revision: str) -> Path:
    """The folder of a repository of the Hugging Face Hub, downloaded or cached; not a second copy of its weights."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"there is no folder {repository}; to download a repository of this name from the Hugging Face Hub, run "
            f"{sys.executable} -m pip install huggingface_hub"
        ) from None
    try:
        folder = Path(snapshot_download(repository, revision=revision, ignore_patterns=["models/*"]))
        if not (folder / HUB_WEIGHTS).is_file():
            folder = Path(snapshot_download(repository, revision=revision))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"there is no folder {repository}, and the Hugging Face Hub does not give it: {reason}"
        ) from None
    if _weights_of(folder, None) is None:
        raise InputError(f"the repository {repository} has neither {HUB_WEIGHTS} nor models/model.pt")
    return folder


def bundles_folder() -> Path:
    """The absolute path of the folder with planewise's bundles; in a clone, it is a link."""
    return (Path(planewise.__file__).parent / "bundles").resolve()


def _weights_of(bundle: Path, given: str | Path | None) -> Path | None:
    """The absolute path of the weights for a bundle; None if no weights are given and the bundle has none."""
    if given is None:
        return next((own for own in (bundle / HUB_WEIGHTS, bundle / "models" / "model.pt") if own.is_file()), None)
    given = Path(given).expanduser().absolute()  # a cached download is a link to a file without an ending
    if not given.exists():
        raise InputError(f"there are no weights in {given}; name a run's folder or a checkpoint")
    return given


def bundle_and_weights(name: str, given: str | Path | None) -> tuple[Path, Path]:
    """The folder of a bundle and its weights, which fit its network.

    Args:
        name: the bundle's name.
        given: a run's folder or a checkpoint for planewise's own bundle; or the folder of a copy of the bundle, whose
            network may differ; None uses the weights that ship.

    Raises:
        InputError: there are no weights, they do not fit, or the folder holds another bundle.
    """
    folder = bundles_folder() / name
    copy = None if given is None else Path(given).expanduser().resolve()
    if copy is not None and (copy / "configs" / "inference.yaml").is_file():
        if copy.name != name:
            raise InputError(f"{copy} is not a bundle {name}; name a folder of this name, or a run of that bundle")
        folder, given = copy, None
    weights = _weights_of(folder, given)
    if weights is None:
        raise InputError(f"{folder} has no models/model.pt; name a run of {name} with --weights")
    if copy is not None:
        load_bundle(folder, weights)
    return folder, weights


@dataclass(frozen=True)
class Provenance:
    """The weights that made a result."""

    bundle: str
    version: str
    """the bundle's version; empty if its metadata cannot be read"""
    sha256: str
    """checksum of the weights file. The results contain no path, because a path may name a person"""
    ships: bool
    """whether these are the weights that ship with the bundle; those were trained on phantoms only"""
    patients: str = ""
    """the scores of these weights on real patients, in words; empty if none were measured"""
    owner: str = "own weights"
    """whose weights they are, if they do not ship"""
    more: str = ""
    """what else is known of weights that do not ship"""

    @classmethod
    def of(cls, bundle: Path, weights: str | Path) -> Provenance:
        """Identify the weights (a checkpoint, or the folder of a run or a bundle) of a bundle's folder."""
        checksum = sha256(Path(weights_path(weights)))
        version, record = "", {}
        with suppress(InputError):
            version = str(read_table(bundle / "configs" / "metadata.json").get("version", ""))
        with suppress(InputError):
            record = read_table(bundle / "models" / RELEASED)
        ships = checksum == record.get(WEIGHTS_SUM)
        patients = scores_in_words(record[PATIENTS]) if ships and PATIENTS in record else ""
        return cls(bundle.name, version, checksum, ships, patients)

    @property
    def origin(self) -> str:
        """Whose weights they are if they do not ship, and what else is known of them."""
        return f"{self.owner}, {self.more}" if self.more else self.owner

    @property
    def short(self) -> str:
        """A few words for a DICOM description, which is short."""
        whose = "other" if self.more else "own"
        return "phantom-trained weights" if self.ships else f"{whose} weights {self.sha256[:_SHORT]}"

    @property
    def weights(self) -> str:
        """The weights in words, with the whole checksum."""
        origin = "weights that ship, trained on phantoms only" if self.ships else self.origin
        return f"{origin}, SHA-256 {self.sha256}"

    def content(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "bundle": self.bundle,
            "version": self.version,
            "weights_sha256": self.sha256,
            "weights_ship": self.ships,
            "trained_on": "phantoms" if self.ships else None,
            "origin": self.origin,
        }


class Note(NamedTuple):
    """The note of a result, in two parts."""

    made_by: str
    """which weights made it; tables, which repeat the note in each row, have only this sentence"""
    errors: str
    """what was measured on patients, and what was not"""

    def __str__(self) -> str:
        return " ".join(self)


def made_by(steps: Sequence[tuple[str, Provenance]], unmeasured: str) -> Note:
    """The note of a result, from pairs of what was made (``masks``) and the weights that made it. ``unmeasured`` is the error
    of what the first step made, as the object of a sentence; it is unknown unless its weights were scored on patients."""
    said = "; ".join(
        f"{what} by {f'{by.bundle} {by.version}'.strip()} ({by.weights.replace(by.sha256, by.sha256[:_SHORT])})"
        for what, by in steps
    )
    errors = [] if steps[0][1].patients else [f"planewise has not measured {unmeasured}."]
    errors += [f"{as_sentence(what)[:-1]} of these weights: {by.patients}." for what, by in steps if by.patients]
    return Note(as_sentence(said), " ".join(errors))
