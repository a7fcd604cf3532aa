#!/usr/bin/env bash
# Indexing a MONAI image leaves its affine as it was, so the part lies where the whole began.
# Guess: image[:, 40:80] has the affine of that part, as nibabel's slicer has it and as MONAI's own SpatialCrop has it.
# Seen (MONAI 1.6.1, nibabel 5.4.2): the part keeps the affine of the whole, with no warning. A crop that begins at pixel 40 lies 40 mm
#   off, every second slice keeps the old spacing, a flip keeps the old direction; SaveImage writes that affine.
# Why it matters: a MetaTensor is introduced as a tensor that knows its place. A mask made from image[:, 40:80] and saved lies beside its
#   organ in every viewer, and every volume from image[:, :, ::2] is half of the truth. Use SpatialCrop, Spacing and Flip.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check monai==1.6.1 torch==2.13.0 numpy==2.4.6 nibabel==5.4.2
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import nibabel
import numpy as np
from monai.transforms import Flip, LoadImage, SaveImage, SpatialCrop

nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((100, 60, 20), "f4"), np.diag([1.0, 1, 1, 1])), "image.nii.gz")
whole, image = nibabel.load("image.nii.gz"), LoadImage(ensure_channel_first=True)("image.nii.gz")


def place(affine):
    """Spacing and origin along the first axis, mm."""
    return float(affine[0][0]), float(affine[0][3])


SaveImage("out", separate_folder=False, print_log=False)(image[:, 40:80])
seen = {
    "nibabel, slicer[40:80]": place(whole.slicer[40:80].affine),
    "MONAI, SpatialCrop": place(SpatialCrop(roi_slices=[slice(40, 80)])(image).affine),
    "MONAI, image[:, 40:80]": place(image[:, 40:80].affine),
    "  saved": place(nibabel.load("out/image_trans.nii.gz").affine),
    "nibabel, slicer[::2]": place(whole.slicer[::2].affine),
    "MONAI, image[:, ::2]": place(image[:, ::2].affine),
    "MONAI, Flip(0)": place(Flip(0)(image).affine),
    "MONAI, image.flip(1)": place(image.flip(1).affine),
}
expected = [(1, 40), (1, 40), (1, 0), (1, 0), (2, 0), (1, 0), (-1, 99), (1, 0)]
for name, (spacing, origin) in seen.items():
    print(f"{name:24} spacing {spacing:2.0f} mm, origin {origin:2.0f} mm")
raise SystemExit([*seen.values()] != expected)
PYTHON
