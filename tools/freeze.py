"""Freeze what the smaller house must not change (issue 65): items of datalists, planes, volumes and outcomes of bad inputs.

    python tools/freeze.py inputs DIR             # write the inputs once, in a clone at 4f21ed6d, which has --defect
    python tools/freeze.py record DIR A.json      # what this clone makes of them; --only PATTERN for a part
    python tools/freeze.py compare A.json B.json  # list what differs; fails if anything does

Seeded runs of the bundles and phantoms are frozen in ``tests/expected/numbers``. Only numbers, names, sections and outcomes
are recorded, no sentences. The shared folder's real images and cases are inputs, too, if they are there (``--shared``).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]
os.environ["OMP_NUM_THREADS"] = "1"
#: Options of `planewise phantom` for each input, with the kinds of its defects and the options of `planewise index`.
TREES = {
    "dsbcc": ("cardiac --exams 3 --set phases=3", ""),
    "acdc": ("cardiac --layout acdc --exams 3", ""),
    "mnms2": ("cardiac --layout mnms2 --exams 3", ""),
    "ukbb": ("cardiac --layout ukbb --exams 2", ""),
    "fastmri": ("knee --exams 2", "--anatomy knee"),
    "mrnet": ("knee --layout mrnet --exams 3", "--anatomy knee"),
    "brats": ("volume --exams 3", "--anatomy volume"),
    "msd": ("volume --layout msd --exams 3", "--anatomy volume"),
    "aptos": ("photograph --exams 5", "--anatomy photograph"),
}
DEFECTS = {
    "dsbcc": "one_series localizer no_series_uid enhanced repeated_slice missing_phases unequal_phases mixed_matrix "
    "single_slice no_trigger_time scrambled_order copied missing_view lying_names parallel_planes dextrocardia "
    "no_frame_of_reference two_frames_of_reference zero_spacing no_spacing black compressed zero_byte truncated mosaic "
    "secondary_capture burnt_in structured_report not_dicom no_extension identity",
    "fastmri": "missing_axial missing_coronal plain_sagittal_only localizer_only repeated_sagittal lying_names "
    "oblique_sagittal feet_first no_descriptions identity",
    "brats": "channel_shape channel_elsewhere no_channel labels_of_later_sets no_mask mask_shape mask_elsewhere empty",
    "aptos": "text truncated empty tiny grey opacity black hidden twice no_row no_file no_grade plain_numbers",
}
#: Variants of the scripts in ``cases``.
CASES = {
    "brats_2023": "old new mixed",
    "cut_off": "classic enhanced",
    "enhanced_order": "trigger temporal dimension percentage datetime reference wrongdimension",
    "geometry": "negative_gap rectangular sheared uneven",
    "nifti_heart": "plain trailing two_channels pixdim_rounded only_qform only_sform disagree big_endian units_um mask_255 "
    "mask_float mask_scaled mask_uint32 mask_gap mask_shifted mask_flipped no_rv empty_mask black constant",
    "nnunet": "plain ignore regions",
    "series_uid_per_file": "series study",
    "mms1_4d_masks": "-",
    "mnms2_mirrored": "-",
    "legacy_converted": "-",
}
#: What makes an item of a datalist.
ITEM = ("image", "images", "frame", "affine", "planes", "location", "label", "phase", "group", "grade", "labels")
#: Numbers are equal to this relative and absolute difference.
TOLERANCE = 1e-4


def run(*words: Any) -> int:
    """Run planewise from this clone in a fork, which saves the imports; returns its exit status."""
    import monai.transforms  # noqa: F401
    import planewise.commands  # noqa: F401
    from planewise.__main__ import main

    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status: Any = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["planewise", *map(str, words)]
        main()
        status = 0
    except SystemExit as end:
        status = end.code
    finally:
        os._exit(status if isinstance(status, int) else int(status is not None))


def write_inputs(folder: Path, shared: Path) -> None:
    """Write the inputs that are not there yet."""
    for name, (options, _) in TREES.items():
        for defect in ("", *DEFECTS.get(name, "").split()):
            if not (to := folder / name / (defect or "plain")).exists():
                run("phantom", *shlex.split(options), to, "--seed", 7, *(["--defect", defect] if defect else []))
    for name, variants in CASES.items():
        for variant in variants.split() if shared.is_dir() else ():
            script, to = shared / "cases" / f"{name}.py", folder / "cases" / name / variant
            if not to.exists():
                paths = {"PYTHONPATH": f"{script.parent}:{ROOT / 'tools'}:{ROOT}"}
                words = [sys.executable, script, to, *([] if variant == "-" else [variant])]
                subprocess.run(words, env=os.environ | paths, check=True, stdout=subprocess.DEVNULL)
    run("phantom", "cardiac", "--exams", 40, "--set", "phases=12", "--seed", 40, folder / "archive")


def inputs(folder: Path, shared: Path) -> dict[str, tuple[Path, list[str]]]:
    """The folder of each input and the options of `planewise index`."""
    found = {
        f"{tree}/{to.name}": (to, shlex.split(options))
        for tree, (_, options) in TREES.items()
        for to in sorted((folder / tree).glob("*"))
    }
    volumes = {"brats_2023", "nnunet"}
    for to in sorted((folder / "cases").glob("*/*")):
        options = ["--anatomy", "volume"] if to.parent.name in volumes else []
        images, masks = to / "images", to / "masks"
        found[f"cases/{to.parent.name}/{to.name}"] = (
            (images, [*options, "--labels", str(masks)]) if masks.is_dir() else (to, options)
        )
    for to in sorted((shared / "data").glob("*/")):
        found[f"real/{to.name}"] = (to, [])
        found[f"real/{to.name} (any)"] = (to, ["--anatomy", "any"])
    return found


def items(datalist: Path, root: Path) -> dict[str, Any]:
    """The items of a datalist by section, with paths from the input's folder."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, str) and (path := datalist.parent / value).exists():
            return os.path.relpath(path.resolve(), root.resolve())
        return value

    content = json.loads(datalist.read_text())
    return {
        section: sorted(
            ({key: plain(item[key]) for key in ITEM if key in item} for item in content[section]), key=json.dumps
        )
        for section in ("training", "validation", "test")
    }


def numbers(folder: Path) -> dict[str, Any]:
    """Every number in the JSON files of results, and the voxels of each value of the masks."""
    import nibabel
    import numpy as np

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.json")):
        found[str(path.relative_to(folder))] = only_numbers(json.loads(path.read_text()))
    for path in sorted(folder.rglob("*_mask.nii.gz")):
        values, counts = np.unique(np.asarray(nibabel.load(path).dataobj), return_counts=True)
        found[str(path.relative_to(folder))] = dict(zip(map(str, values.tolist()), counts.tolist(), strict=True))
    return found


def only_numbers(value: Any) -> Any:
    """A JSON value without texts, truth values and what remains empty."""
    if isinstance(value, dict):
        return {key: kept for key, each in value.items() if (kept := only_numbers(each)) not in (None, {}, [])}
    if isinstance(value, list):
        return [kept for each in value if (kept := only_numbers(each)) not in (None, {}, [])]
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def record(folder: Path, shared: Path, only: str) -> dict[str, Any]:
    """Run this clone on the inputs whose names match the pattern ``only``, and return its results by name."""
    salt = folder / "salt"
    salt.write_text("these exams are phantoms and nobody is to be hidden")
    os.environ["PLANEWISE_SALT_FILE"] = str(salt)
    found: dict[str, Any] = {}
    for name, (to, options) in inputs(folder, shared).items():
        if fnmatch.fnmatch(name, only):
            with tempfile.TemporaryDirectory() as temporary:
                datalist = Path(temporary) / "datalist.json"
                status = run("index", to, "-o", datalist, *options)
                found[name] = {"status": status, "items": items(datalist, to) if datalist.is_file() else None}
            print(name, status, flush=True)
    exams = {"archive": folder / "archive"}
    exams |= {name: shared / "data" / name for name in ("cardiac_cine_exam", "sunnybrook/dicom")}
    for name, to in exams.items():
        for command in ("plan", "segment"):
            if to.is_dir() and fnmatch.fnmatch(f"{command}/{name}", only):
                with tempfile.TemporaryDirectory() as temporary:
                    status = run(command, to, "-o", temporary)
                    found[f"{command}/{name}"] = {"status": status, "numbers": numbers(Path(temporary))}
                print(command, name, status, flush=True)
    return found


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The places at which two records differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        absent = [f"{place}/{key}: only in one" for key in sorted(one.keys() ^ other.keys())]
        return absent + [
            line for key in one if key in other for line in differences(one[key], other[key], f"{place}/{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for k, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{place}/{k}")
        ]
    numeric = all(isinstance(value, (int, float)) for value in (one, other))
    same = math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numeric else one == other
    return [] if same else [f"{place}: {str(one)[:80]} | {str(other)[:80]}"]


def main() -> int:
    """Run the command line. Returns the exit status: 1 if two records differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inputs", "record", "compare"])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--only", default="*", help="pattern of inputs, such as 'cases/*' or 'plan/*'")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    given = parser.parse_args()
    if given.what == "inputs":
        write_inputs(given.paths[0].resolve(), given.shared)
    elif given.what == "record":
        found = record(given.paths[0].resolve(), given.shared, given.only)
        given.paths[1].write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    else:
        lines = differences(*(json.loads(path.read_text()) for path in given.paths))
        print("\n".join(lines) or "equal")
        return bool(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
