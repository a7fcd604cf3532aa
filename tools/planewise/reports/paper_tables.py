"""Results of Zhang 2024, to stand beside ours. Facts of the paper; patients there, phantoms or your own data here."""

from __future__ import annotations

#: Table 2, DSBCC and fastMRI: anatomy to pretext to (MSE, MAE, r, R^2, explained variance) of relative location.
LOCATION = {
    "cardiac": {
        "location": (0.0187, 0.1030, 0.9187, 0.8266, 0.8304),
        "multitask": (0.0128, 0.0826, 0.9415, 0.8822, 0.8847),
    },
    "knee": {
        "location": (0.0146, 0.0914, 0.9254, 0.8555, 0.8558),
        "multitask": (0.0142, 0.0896, 0.9284, 0.8596, 0.8598),
    },
}

#: Table 4, ACDC: method to number of labelled subjects to mean Dice over the structures (standard deviation).
SEGMENTATION_DICE = {
    "none": {1: (0.328, 0.286), 4: (0.702, 0.228), 16: (0.815, 0.129), 32: (0.851, 0.112), 64: (0.868, 0.081)},
    "location": {1: (0.433, 0.306), 4: (0.794, 0.151), 16: (0.831, 0.148), 32: (0.884, 0.075), 64: (0.907, 0.054)},
    "orientation": {1: (0.471, 0.297), 4: (0.813, 0.136), 16: (0.834, 0.115), 32: (0.885, 0.073), 64: (0.906, 0.053)},
    "multitask": {1: (0.511, 0.289), 4: (0.814, 0.118), 16: (0.840, 0.136), 32: (0.900, 0.055), 64: (0.910, 0.058)},
}

#: Table 4, ACDC: mean ASSD in mm (standard deviation).
SEGMENTATION_ASSD = {
    "none": {1: (20.223, 28.729), 4: (4.754, 7.705), 16: (2.064, 1.943), 32: (1.552, 2.779), 64: (1.302, 1.358)},
    "location": {1: (18.333, 25.977), 4: (2.585, 2.915), 16: (1.938, 3.411), 32: (1.149, 1.289), 64: (0.793, 0.769)},
    "orientation": {1: (14.258, 24.692), 4: (2.226, 4.959), 16: (1.599, 1.622), 32: (1.087, 1.286), 64: (0.789, 0.882)},
    "multitask": {1: (13.900, 29.809), 4: (1.917, 1.668), 16: (1.602, 2.699), 32: (0.850, 0.815), 64: (0.719, 0.932)},
}

#: Table 3, ACDC: macro AUC of the five diagnoses.
DIAGNOSIS_AUC = {
    "none": {1: 0.608, 4: 0.825, 16: 0.861, 32: 0.909, 64: 0.920},
    "location": {1: 0.734, 4: 0.880, 16: 0.925, 32: 0.927, 64: 0.962},
    "orientation": {1: 0.795, 4: 0.868, 16: 0.903, 32: 0.925, 64: 0.934},
    "multitask": {1: 0.839, 4: 0.903, 16: 0.959, 32: 0.959, 64: 0.972},
}

#: Table 5, MRNet: method to number of labelled exams to mean AUC of abnormality, ACL tear and meniscal tear. All but
#: `none` start from ImageNet weights.
INJURY_AUC = {
    "none": {80: 0.433, 200: 0.429, 400: 0.474, 800: 0.562},
    "imagenet": {80: 0.682, 200: 0.737, 400: 0.799, 800: 0.824},
    "location": {80: 0.740, 200: 0.781, 400: 0.791, 800: 0.815},
    "orientation": {80: 0.703, 200: 0.774, 400: 0.787, 800: 0.803},
    "multitask": {80: 0.755, 200: 0.783, 400: 0.801, 800: 0.819},
}
