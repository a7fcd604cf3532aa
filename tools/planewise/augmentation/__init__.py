"""Transform whole batches at random, on the batch's device.

The transforms carry MONAI's `RandomizableTrait`. A random number decides for each image whether it is changed (``prob``);
these numbers (`own_draws`) do not depend on the number of workers or processes. There are no ``keys``: ``image``, its
background ``image_padding``, its ``affine`` and masks (``label``) belong together. Lengths are in pixels or fractions of the
image, as in the papers. MONAI's own dictionary transforms are applied to each image (`whole_batches`).
"""

from planewise.augmentation.each_image import EachImaged, own_draws, whole_batches
from planewise.augmentation.intensity import RandBlurBatchd, RandBrightnessBatchd, RandIntensityBatchd, gaussian_blur
from planewise.augmentation.spatial import (
    RandAffineBatchd,
    RandCropBatchd,
    RandFlipRotate90Batchd,
    RandRotateZoomBatchd,
)
