"""Random transforms of whole batches, on the device that they are on."""

from planewise.augmentation.draws import own_draws
from planewise.augmentation.rand_affine import RandAffineBatchd
from planewise.augmentation.rand_blur import RandBlurBatchd, gaussian_blur
from planewise.augmentation.rand_intensity import RandIntensityBatchd

__all__ = [
    "RandAffineBatchd",
    "RandBlurBatchd",
    "RandIntensityBatchd",
    "gaussian_blur",
    "own_draws",
]
