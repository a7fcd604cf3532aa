"""Run networks on batches of images, on whole volumes, and on their slices or windows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from einops import rearrange
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.utils import convert_to_dst_type
from torch import Tensor, nn

from planewise.engines.kernels import ExactThinVolumes, GraphedNetwork, precision
from planewise.networks import encoder_features
from planewise.pretexts.mask_patches import on_pixels, patch_grid


class AutocastInferer(SimpleInferer):
    """Run the network in bfloat16 if `precision` selects it. The output is always float32, so losses and metrics are
    computed in float32, too.

    MONAI's engines, which handle float16, autocast only for CUDA, and add a gradient scaler, whose step waits for the device
    and which bfloat16 does not need. When a network for volumes trains on a CPU, its thinnest layers are computed in float32
    (`ExactThinVolumes`). A network that `planewise.networks.place_network` marked is replayed from a CUDA graph in
    training (`GraphedNetwork`).

    Args:
        amp: see `precision`.
    """

    def __init__(self, amp: bool | str | None = False) -> None:
        super().__init__()
        self.amp = amp
        self._graphed = GraphedNetwork()

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        graphs = getattr(network, "cuda_graphs", False) and not (args or kwargs)
        if graphs:
            network = partial(self._graphed, network)
        if precision(self.amp, inputs.device) != "bfloat16":
            return network(inputs, *args, **kwargs).float()
        trains_volumes = inputs.ndim == 5 and inputs.device.type == "cpu" and torch.is_grad_enabled()
        exact = ExactThinVolumes() if trains_volumes else nullcontext()
        # a graph must convert the weights in every step, so the converted ones are not kept
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, cache_enabled=not graphs), exact:
            output = network(inputs, *args, **kwargs)
        return output.float()


class ViewsInferer(AutocastInferer):
    """Run a network for single images on several views of each image, as one batch.

    Called with views as channels, ``(B, V * C, i, j)`` or, for volumes, ``(B, V * C, i, j, k)``, and a network that maps
    ``(N, C, ...)`` to embeddings ``(N, D)``, it returns ``(B, V, D)``. ``channels`` is C.
    """

    def __init__(self, amp: bool | str | None = False, channels: int = 1) -> None:
        super().__init__(amp)
        self.channels = int(channels)

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        views = inputs.unflatten(1, (-1, self.channels)).flatten(0, 1)
        return super().__call__(views, network, *args, **kwargs).unflatten(0, (len(inputs), -1))


class FeatureInferer(AutocastInferer):
    """Run the encoder of a network on volumes, or on batches of their slices; the network's own head is not used.

    Called with volumes ``(B, C, i, j, k)`` and a network with an ``encoder``, it returns the features of each slice,
    ``(B, D, k)`` (`encoder_features`). If the network takes volumes, or the inputs are images ``(B, C, i, j)``, it
    returns ``(B, D, 1)``.

    Args:
        batch_size: number of slices per call of the encoder.
        amp: see `precision`.
        spatial_dims: 2 for a network for slices, 3 for a network for volumes.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False, spatial_dims: int = 2) -> None:
        super().__init__(amp)
        self.batch_size, self.spatial_dims = batch_size, spatial_dims

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        volumes = _without_metadata(inputs)
        run = partial(super().__call__, network=lambda image: encoder_features(network, image))
        if self.spatial_dims == 3 or volumes.ndim == 4:
            return run(volumes)[..., None]
        slices = rearrange(volumes, "b c i j k -> (b k) c i j").split(self.batch_size)
        return rearrange(torch.cat([run(batch) for batch in slices]), "(b k) d -> b d k", b=len(volumes))


def _without_metadata(inputs: Tensor) -> Tensor:
    # a MetaTensor carries its metadata through every layer, which costs more than a small layer
    return inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs


class WindowInferer(AutocastInferer):
    """Run a network on whole volumes or on windows of them.

    Windows overlap by half, and their predictions are averaged with weights that decrease from the middle of a window
    (MONAI's `SlidingWindowInferer`). The output for volumes ``(B, C, i, j, k)`` has their metadata.

    Args:
        window: side of the windows, voxels; None uses whole volumes.
        batch_size: number of windows or slices per call of the network.
        amp: see `precision`.
        spatial_dims: 3 for a network for volumes, 2 for a network for images, which runs on the slices along the third axis.
    """

    def __init__(
        self, window: int | None = None, batch_size: int = 1, amp: bool | str | None = False, spatial_dims: int = 3
    ) -> None:
        super().__init__(amp)
        self.batch_size, self.spatial_dims = int(batch_size), int(spatial_dims)
        self.sliding = None
        if window is not None:
            self.sliding = SlidingWindowInferer([int(window)] * spatial_dims, batch_size, overlap=0.5, mode="gaussian")

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        volumes, call = _without_metadata(inputs), super().__call__

        def run(images: Tensor) -> Tensor:
            if self.sliding is None:
                return call(images, network, *args, **kwargs)
            return self.sliding(images, lambda window: call(window, network, *args, **kwargs))

        if self.spatial_dims == 2:
            slices = rearrange(volumes, "b c i j k -> (b k) c i j").split(self.batch_size)
            output = rearrange(torch.cat([run(part) for part in slices]), "(b k) c i j -> b c i j k", b=len(volumes))
        else:
            output = run(volumes)
        return convert_to_dst_type(output, inputs, dtype=output.dtype)[0]


class SliceBatchInferer(WindowInferer):
    """Run a network for whole slices, ``(N, C, i, j)`` to ``(N, D, i, j)``, on volumes: ``(B, C, i, j, k)`` become
    ``(B, D, i, j, k)``. ``batch_size`` is the number of slices, also of several volumes, per call of the network.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False) -> None:
        super().__init__(None, batch_size, amp, spatial_dims=2)


class HiddenPatchesInferer(SliceBatchInferer):
    """Restore whole volumes, slice by slice, from a few patches at a time.

    The patches of a slice are divided at random into the same groups for all slices, each with a share of about
    ``1 - mask_ratio`` of the patches. The network sees one group at a time, and all other patches are hidden
    (`planewise.pretexts.MaskPatchesd`). A pixel of the result is the mean of the predictions that were made while this
    pixel was hidden. Inputs and outputs are those of `SliceBatchInferer`, with one channel.

    Args:
        patch_size: side of a patch, pixels, as in training; an `InputError` if the patches do not fill the slices.
        mask_ratio: share of hidden patches per pass; 0.75 makes four groups.
        batch_size, amp: see `SliceBatchInferer`.
    """

    def __init__(
        self, patch_size: int = 16, mask_ratio: float = 0.75, batch_size: int = 20, amp: bool | str | None = False
    ) -> None:
        super().__init__(batch_size, amp)
        self.patch_size = int(patch_size)
        self.groups = max(2, round(1 / (1 - float(mask_ratio))))

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        seen = self.seen(tuple(inputs.shape[2:4])).to(inputs.device)

        def restore(image: Tensor) -> Tensor:
            total, times = torch.zeros_like(image, dtype=torch.float32), torch.zeros_like(seen[0], dtype=torch.float32)
            for group in seen:
                total += torch.where(group, 0.0, network(image.masked_fill(~group, 0.0)).float())
                times += ~group
            return total / times

        return super().__call__(inputs, restore, *args, **kwargs)

    def seen(self, shape: tuple[int, int]) -> Tensor:
        """The pixels that the network sees in each group's pass, ``(groups, i, j)``, bool."""
        grid = patch_grid(shape, self.patch_size)
        groups = min(self.groups, grid.numel())
        lots = torch.rand(grid.numel(), generator=torch.Generator().manual_seed(0)).argsort() % groups
        of_group = (lots == torch.arange(groups)[:, None]).reshape(groups, 1, *grid)
        return on_pixels(of_group, self.patch_size)[:, 0]
