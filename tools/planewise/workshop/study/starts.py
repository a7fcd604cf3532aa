"""What the weights that a study starts from were trained on, and whether they may have seen its test patients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from planewise.engines.run_record import metadata_of
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.files.datalists import items_in, parsed_datalist
from planewise.findings import Finding, finding
from planewise.networks import weights_path
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.own_exams.bundles import bundles_folder
from planewise.workshop.packaging.run import Run
from planewise.workshop.study.folder import StudyFolder
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.page import Page
from planewise.workshop.study.shared_patients import seen_before

DOUBT = "start-of-doubt"
#: Letters of the shortest name of a data set that is searched for, and words that name many folders.
_SHORTEST = 4
_COMMON = frozenset((
    "data", "dicom", "exam", "exams", "heart", "hearts", "image", "images", "knee", "knees", "label", "labelled", "labels",
    "mask", "masks", "nifti", "patient", "patients", "phantom", "phantoms", "scan", "scans", "short", "study", "test",
    "train", "training", "unlabelled", "volume", "volumes",
))  # fmt: skip


def add_starts(page: Page, study: StudyFolder) -> None:
    """Add what each method's start was trained on, if the study has weights from files, and warn at the top of the page if
    they may have seen the test patients."""
    methods = study.config["methods"]
    given = weights_in(methods)
    if not given:
        return
    for warning in warnings_of(methods, study.datalist("labelled")):
        page.head.append(f"<p class=warning><b>{warning}</b></p>")
    rows = []
    for name in study.methods:
        method = methods[name] or {}
        weights, pretext = given.get(name), method.get("pretext")
        data = [trained_on(method) or "not known"] if weights else []
        data += [f"the {method.get('images') or 'unlabelled'} images of this study"] if pretext else []
        digits = "-"
        if weights:
            with suppress(InputError):
                digits = sha256(Path(weights_path(weights)))[:12]
        rows.append([method_name(name), "; then ".join(data) or "nothing", digits])
    page.add("<h2>Starts</h2>")
    page.table("What each start was trained on", ["start", "trained on", "SHA-256 of the weights"], rows)


def weights_in(methods: Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    """The files of weights in a study's methods, by the method's name; a list of names has none. Relative paths are those of
    planewise's clone, where studies run."""
    settings = methods.items() if isinstance(methods, Mapping) else ()
    return {name: weights for name, method in settings if (weights := _weights_of(method or {}))}


def _weights_of(method: Mapping[str, Any]) -> str | None:
    """The path of a method's weights: its own, or those from which its pretext starts."""
    weights = method.get("weights") or method.get("overrides", {}).get("pretrain", {}).get("pretrained")
    return None if weights in (*NO_WEIGHTS, "imagenet") else str(bundles_folder().parent / weights)


def trained_on(method: Mapping[str, Any]) -> str | None:
    """What a method's weights were trained on, in words: its ``trained_on``, or what the record of their run or the metadata
    of their bundle say. None if nothing says it."""
    if method.get("trained_on"):
        return str(method["trained_on"])
    with suppress(InputError):
        file = Path(weights_path(str(_weights_of(method))))
        run = Run.of_weights(file)
        return run.data if run is not None and run.data else metadata_of(file).get("data_source")
    return None


def warnings_of(methods: Mapping[str, Any] | Sequence[str], labelled: Path) -> list[Finding]:
    """Which starts saw the test patients of the labelled datalist, may have seen them, or do not say what they saw.

    The datalists of planewise's own runs are compared, also those of the runs that they started from. Of other weights,
    the names of data sets in `trained_on` are searched for in the folders of the labelled images.
    """
    found = []
    for name, weights in weights_in(methods).items():
        told = trained_on(methods[name])
        for datalist in _learned_from(weights):
            if not datalist.is_file():
                told = None  # nobody can tell who was seen
            elif seen := seen_before(datalist, labelled):
                numbers = {"seen": seen["seen"], "count": seen["count"]}
                found.append(finding(DOUBT, method_name(name), kind="seen", **numbers))
        if told is None:
            found.append(finding(DOUBT, method_name(name), kind="unknown"))
        elif names := sorted(_in_folders(told, labelled)):
            found.append(finding(DOUBT, method_name(name), kind="named", names=names))
    return found


def _learned_from(weights: Any) -> Iterator[Path]:
    """The datalists of the run that wrote the weights, and of the runs that it started from; a path without a file stands for
    one that is not there any more."""
    with suppress(InputError):
        run = None if weights in NO_WEIGHTS else Run.of_weights(Path(weights_path(weights)))
        if run is not None and not run.ships:
            yield run.datalist or Path("unknown")
            before = run.config.get("pretrained")
            if before not in NO_WEIGHTS and not Path(before).expanduser().exists():
                yield Path("unknown")
            yield from _learned_from(before)


def _in_folders(told: str, datalist: Path) -> set[str]:
    """The folders of a datalist's test images that have the name of a data set in a text, such as ``mnms2`` for M&Ms-2."""
    if not datalist.is_file():
        return set()
    items = items_in(parsed_datalist(datalist), "test")
    images = [image for item in items for image in ensure_tuple(item.get("image"))]
    folders = {part for image in images for part in Path(datalist.absolute().parent, str(image)).parent.parts}
    words = {_plain(word) for word in told.split()} - _COMMON
    return {part for part in folders if len(_plain(part)) >= _SHORTEST and _plain(part) in words}


def _plain(name: str) -> str:
    return re.sub(r"\W|_", "", name.lower().replace("&", "n"))
