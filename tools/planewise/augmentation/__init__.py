"""Random transforms of whole batches, on the device that they are on."""

from planewise.augmentation.rand_affine import RandAffineBatchd

__all__ = [
    "RandAffineBatchd",
]
