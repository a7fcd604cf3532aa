"""What the items of a datalist call their own data."""

from __future__ import annotations

#: Keys of an item that a class may not be called.
RESERVED = {
    "image", "frame", "affine", "planes", "location", "exam", "patient", "stack", "slice", "phase", "label",
    "label_frame", "label_axes", "label_map", "label_origin", "time", "shift",
}  # fmt: skip
#: What ``label_origin`` says of a mask that a network predicted; one that people drew has none.
PREDICTED = "predicted"
#: The same of a mask that a MONAI Label server hands over, drawn with the numbers of its list of labels.
VIEWER = "viewer"
