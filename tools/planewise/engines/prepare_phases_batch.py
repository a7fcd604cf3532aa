"""Turn a batch of hearts at two phases into the classifier's input, on the network's device."""

from __future__ import annotations

from planewise.engines.prepare_stack_batch import PrepareStackBatch


class PreparePhasesBatch(PrepareStackBatch):
    """Move a batch of `TwoPhaseDataset` to the device, transform its exams there, and split it into input, label and
    mask.

    Args:
        augmentation: random batch transforms; the slices of both phases are an exam's channels and move together. None
            applies no augmentation.

    Returns:
        The image ``(B, 2, H, W, S)``, the labels ``(B,)``, no positional arguments, and the keyword argument ``mask``
        ``(B, S)`` for the network.
    """

    phases = 2
