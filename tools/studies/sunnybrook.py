"""Measure the Dice of the left ventricle of `planewise segment` against the manual contours of Sunnybrook's patients.

The data folder has `dicom/PATIENT/N.dcm` and `contours/PATIENT/i-contours/IM-0001-NNNN-icontour-manual.txt`: the endocardium
in image N, at end-diastole and end-systole, as a line `x y` for each point. The patients of both folders have different
names, but the same order. A contour belongs to the slice and phase of its image; the Dice is that of the volume of all
slices with a contour, so slices that the reader left out do not count. Integer coordinates are centres of pixels, and a
pixel is inside if its centre is.

    python -m tools.studies.sunnybrook
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nibabel
import numpy as np
from planewise.exams import find_stacks
from planewise.phases import phase_name
from planewise.words import natural_order
from skimage.draw import polygon2mask

from tools.studies.patients import patients_folder

#: Value of the left ventricle in a label map.
LEFT_VENTRICLE = 3


def scores(data: Path, masks: Path) -> list[dict]:
    """The Dice of each patient and phase with contours, and of each patient's phases together (phase ``all``).

    Args:
        data: the data folder.
        masks: folder ``masks`` of `planewise segment`.
    """
    patients, readers = (
        sorted((path for path in (data / name).iterdir() if path.is_dir()), key=lambda path: natural_order(path.name))
        for name in ("dicom", "contours")
    )
    rows = []
    for patient, reader in zip(patients, readers, strict=True):
        contours = {int(path.name.split("-")[2]): path for path in reader.glob("i-contours/*-icontour-manual.txt")}
        found = defaultdict(lambda: np.zeros(4, int))
        for stack in find_stacks(patient, phases="all"):
            phase = phase_name(stack.phase)
            (path,) = masks.glob(f"**/{stack.exam}_{phase}_mask.nii.gz")
            mask = nibabel.load(path)
            labels = np.asarray(mask.dataobj)
            for index, entry in enumerate(stack.slices):
                contour = contours.pop(int(Path(entry["image"]).stem), None)
                if contour is None:
                    continue
                np.testing.assert_allclose(mask.affine @ [0, 0, index, 1], np.array(entry["affine"])[:, 3], atol=0.1)
                true = polygon2mask(labels.shape[:2], np.loadtxt(contour))
                ours = labels[..., index] == LEFT_VENTRICLE
                for name in (phase, "all"):
                    found[name] += [1, (true & ours).sum(), true.sum(), ours.sum()]
        if contours:
            raise ValueError(f"{patient.name}: no slice for the contours of images {sorted(contours)}")
        rows += [
            {"patient": patient.name, "phase": name, "slices": int(slices), "dice": 2 * shared / (true + ours)}
            for name, (slices, shared, true, ours) in sorted(
                found.items(), key=lambda entry: (entry[0] == "all", entry[0])
            )
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=patients_folder("sunnybrook"), help="the data folder (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("work/sunnybrook"), help="folder for the results of segment")
    parser.add_argument("--weights", help="weights for segment; default: those that ship")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    options = parser.parse_args()
    if not (options.data / "contours").is_dir():
        parser.error(
            f"{options.data} must contain Sunnybrook's folders dicom and contours; name its folder with --data"
        )
    weights = ["--weights", options.weights] if options.weights else []
    command = [sys.executable, "-m", "planewise", "segment", options.data / "dicom", "-o", options.out, *weights]
    subprocess.run(command, check=True)
    rows = scores(options.data, options.out / "masks")
    print("| patient | phase | slices | Dice LV |\n|---|---|--:|--:|")
    for row in rows:
        print(f"| {row['patient']} | {row['phase']} | {row['slices']} | {row['dice']:.3f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
