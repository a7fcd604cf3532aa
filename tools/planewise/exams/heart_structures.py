"""Numbers of a heart's structures in masks, as the segmentation bundles number them."""

#: By view of the images.
HEART_STRUCTURES = {
    "sax": {1: "RV", 2: "myocardium", 3: "LV"},
    "4ch": {1: "RV", 2: "myocardium", 3: "LV", 4: "LA", 5: "RA"},
}
