"""Transform whole batches at random, on the batch's device.

The transforms carry MONAI's `RandomizableTrait`, so `CacheDataset` and similar datasets call them anew each time. They
do not derive from `RandomizableTransform`, which decides once per call, with its own NumPy generator. Here, a random
number decides for each image whether it is changed (``prob``). These numbers (`own_draws`) come from torch's global
generator on the CPU, and do not depend on the number of workers or processes. The transforms have no ``keys``, because a
batch's entries belong together: ``image``, its background ``image_padding``, its ``affine``, and masks (``label_keys``).
Lengths are in pixels or fractions of the image, as in the papers, because the size of a photograph in millimetres is
unknown. MONAI's own dictionary transforms, which are for one image, are applied to each image (`whole_batches`).
"""

from planewise.augmentation.draws import own_draws
from planewise.augmentation.each_image import EachImaged, whole_batches
from planewise.augmentation.rand_affine import RandAffineBatchd, RandRotateZoomBatchd
from planewise.augmentation.rand_blur import RandBlurBatchd, gaussian_blur
from planewise.augmentation.rand_brightness import RandBrightnessBatchd
from planewise.augmentation.rand_crop import RandCropBatchd
from planewise.augmentation.rand_flip_rotate90 import RandFlipRotate90Batchd
from planewise.augmentation.rand_intensity import RandIntensityBatchd
