"""Random transforms of whole batches, on the batch's device."""

from planewise.augmentation.draws import own_draws
from planewise.augmentation.rand_affine import RandAffineBatchd
from planewise.augmentation.rand_blur import RandBlurBatchd, gaussian_blur
from planewise.augmentation.rand_brightness import RandBrightnessBatchd
from planewise.augmentation.rand_crop import RandCropBatchd
from planewise.augmentation.rand_intensity import RandIntensityBatchd
from planewise.augmentation.rand_pose import RandPoseBatchd
from planewise.augmentation.rand_turn import RandTurnBatchd

__all__ = [
    "RandAffineBatchd",
    "RandBlurBatchd",
    "RandBrightnessBatchd",
    "RandCropBatchd",
    "RandIntensityBatchd",
    "RandPoseBatchd",
    "RandTurnBatchd",
    "gaussian_blur",
    "own_draws",
]
