#!/usr/bin/env bash
# MONAI's Resize moves a mask against its image, although both get the same affine.
# Guess: after Resized(("image", "label"), mode=("area" or "trilinear", "nearest")), the mask lies where its image shows the structure,
#   to within the rounding of nearest neighbours, and both lie where the new affine says.
# Seen (MONAI 1.6.1, torch 2.13.0): from 128 to 16 pixels of 1 mm, each pixel of the mask shows what lies 3.5 mm before its place by the
#   affine, in every pixel and along every axis, because PyTorch's "nearest" takes the first of the 8 pixels that become one, and the
#   affine takes their middle. With "nearest-exact" it is 0.5 mm, the rounding. From 16 to 128, "nearest" is right.
# Why it matters: a network learns masks that are up to half an output pixel off, Dice falls, and nothing shows it: image, mask and affine
#   agree in shape. Write "nearest-exact" for masks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check monai==1.6.1 torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import torch
from monai.data import MetaTensor
from monai.transforms import Resized

PLACES = torch.arange(128.0)  # mm: the value of each pixel is its own place along the first axis


def error(mode, before, after):
    """How far the content of an image lies from the place that its affine states, mm: least and most inside the image."""
    places = PLACES[:: 128 // before] + (128 // before - 1) / 2
    affine = torch.diag(torch.tensor([128.0 / before, 1, 1, 1]))
    affine[0, 3] = places[0]
    image = MetaTensor(places[None, :, None, None].expand(1, before, 4, 4).clone(), affine=affine)
    resized = Resized("image", (after, 4, 4), mode=mode)({"image": image})["image"]
    stated = resized.affine[0, 0] * torch.arange(after) + resized.affine[0, 3]
    off = (resized.as_tensor()[0, :, 2, 2].double() - stated)[after // 8 : -after // 8]
    return round(off.min().item(), 3), round(off.max().item(), 3)


expected = {
    ("trilinear", 128, 16): (0, 0),
    ("area", 128, 16): (0, 0),
    ("nearest", 128, 16): (-3.5, -3.5),
    ("nearest-exact", 128, 16): (0.5, 0.5),
    ("nearest", 16, 128): (-3.5, 3.5),
}
seen = {case: error(*case) for case in expected}
for (mode, before, after), (least, most) in seen.items():
    print(f"{mode:13} {before:3} to {after:3} pixels: {least:4.1f} to {most:4.1f} mm")
raise SystemExit(seen != expected)
PYTHON
