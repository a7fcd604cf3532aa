"""How a network computes on each device (precision, fused steps, CUDA graphs), and runs on images, volumes and windows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch
from einops import rearrange
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.utils import convert_to_dst_type
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from planewise.errors import InputError
from planewise.networks import encoder_features
from planewise.pretexts.restoration import on_pixels, patch_grid
from planewise.settings import parse_bool

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]

#: Types of device on which graphs help.
KINDS = ("cuda",)


def precision(amp: bool | str | None, device: str | torch.device) -> Precision:
    """Choose the floating-point format of a training step from the setting ``amp`` and the device.

    Float16 needs a gradient scaler, which MONAI's engines have (their ``amp``), but whose step waits for the device. Bfloat16
    is as fast, and needs none. Weights, losses and metrics are always float32. (Measurements: tools/docs/speed.md.)

    Args:
        amp: ``"auto"`` (bfloat16 if the device has instructions for it, else float32; on a GPU, float16), true (mixed
            precision, with or without such instructions), false (float32), or the name of a precision.
        device: the device of the network.

    Raises:
        InputError: ``amp`` is not one of these, or float16 is requested on a device other than CUDA.
    """
    kind, word = torch.device(device).type, str(amp).strip().lower()
    if word in ("float32", "bfloat16", "float16"):
        if word == "float16" and kind != "cuda":
            raise InputError(f"float16 needs a CUDA device, got {device}; set --amp bfloat16 or --amp auto")
        return word
    if word != "auto" and not parse_bool(amp, "amp (if not auto, float32, bfloat16 or float16)"):
        return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    # torch 2.4 has neither function, so a processor counts as one without AVX-512 BF16 and AMX
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)
    return "bfloat16" if word != "auto" or native else "float32"


def allow_tf32(allowed: bool | str | None) -> None:
    """Allow float32 products on CUDA to round their factors to TF32 (10-bit mantissa), which is several times as fast. None
    keeps PyTorch's setting."""
    if allowed is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = parse_bool(allowed, "tf32")


class ExactThinVolumes(TorchFunctionMode):
    """On a CPU, use float32 for convolutions of volumes that are thinner than the kernel.

    In torch 2.13 (oneDNN), the bfloat16 weight gradient of such a convolution reads memory outside its arrays on CPUs with
    AVX-512 BF16: it may be NaN, or finite but wrong, or the process may crash. Such layers, on the deepest level of an
    encoder whose grid has shrunk to 2 x 2 x 2, are small, so float32 costs next to nothing.
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and args[0].shape[2] < args[1].shape[2]:
            with torch.autocast("cpu", enabled=False):
                image, *weights = (value.float() if isinstance(value, torch.Tensor) else value for value in args)
                return function(image, *weights, **kwargs)
        return function(*args, **kwargs)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Make an optimiser use its fused step, if it has one, for weights on a GPU or a CPU: the usual step of Adam runs a dozen
    kernels. A GPU may wait for their launches, and on a CPU each of them moves the weights through the memory.

    Call this function before the first step, but after a checkpoint is loaded, which may come from another type of device: a
    fused step needs its step counts on the device of the weights, the usual step on the CPU, and moments in the memory format
    of the weights, without which it computes other steps.
    """
    for group in optimizer.param_groups:
        if "fused" not in group:
            continue
        weights = group["params"]
        fused = bool(weights) and all(
            each.device.type in (*KINDS, "cpu") and each.is_floating_point() for each in weights
        )
        group["fused"] = True if fused else None
        for each in weights:
            state = optimizer.state.get(each, {})
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"]).to(each.device if fused else "cpu")
            for name, value in state.items():
                if name != "step" and value.stride() != each.stride():
                    state[name] = torch.empty_like(each).copy_(value)


class GraphedNetwork:
    """Run a network in training, with its forward and its backward pass each launched as one graph, not kernel by kernel.

    The first call records the graphs with PyTorch's ``make_graphed_callables``; if layers are frozen or set to evaluation
    later, they are recorded again. The network runs without graphs if the images have another shape than the first ones; if
    weights have gradients, which a graph would overwrite; or if the gradient of the previous call has not been computed yet.
    If it cannot be recorded and its ``cuda_graphs`` is ``auto``, it runs without graphs from then on.
    """

    def __init__(self) -> None:
        self._replay: Callable[[Tensor], Any] | None = None
        self._input: tuple[torch.Size, torch.dtype] | None = None
        self._state: tuple[list[bool], list[bool]] | None = None
        self._waits = False

    def __call__(self, network: nn.Module, image: Tensor) -> Any:
        """The output for an image in the device's memory, of a network that is the same in all calls.

        Raises:
            InputError: the network cannot be recorded.
        """
        weights = list(network.parameters())
        trains = torch.is_grad_enabled() and network.training and any(weight.requires_grad for weight in weights)
        own = (image.shape, image.dtype)
        fits = self._input in (None, own) and not self._waits and all(weight.grad is None for weight in weights)
        if not (trains and fits and image.device.type in KINDS):
            return network(image)
        state = [weight.requires_grad for weight in weights], [module.training for module in network.modules()]
        if self._replay is None or state != self._state:
            self._replay = None  # frees its memory
            self._replay = _recorded(network, image)
            self._input, self._state = own, state
        output = self._replay(image)
        self._waits = True
        next(each for each in tree_leaves(output) if each.requires_grad).register_hook(self._done)
        return output

    def _done(self, _gradient: Tensor) -> None:
        self._waits = False


def _recorded(network: nn.Module, image: Tensor) -> Callable[[Tensor], Any]:
    before = [buffer.clone() for buffer in network.buffers()]
    # code that waits for the GPU must fail before it is recorded, or else the GPU's random generator is of no more use
    watched = image.is_cuda and network.cuda_graphs == "auto"
    try:
        if watched:
            torch.cuda.set_sync_debug_mode("error")
        with torch.random.fork_rng([image.device] if image.is_cuda else []):
            # recording replaces the ``forward`` of the module that it gets
            whole = nn.Sequential(network)
            return torch.cuda.make_graphed_callables(whole, (image.clone(),), allow_unused_input=True)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if network.cuda_graphs != "auto":
            raise InputError(
                f"--compile cuda_graphs cannot record this network ({reason}); leave --compile out"
            ) from error
        logger.info("CUDA graphs cannot record this network (%s), so it runs without them", reason)
        network.cuda_graphs = False
        return network
    finally:
        if watched:
            torch.cuda.set_sync_debug_mode("default")
        with torch.no_grad():
            for buffer, values in zip(network.buffers(), before, strict=True):
                buffer.copy_(values)


class AutocastInferer(SimpleInferer):
    """Run the network in bfloat16 if `precision` selects it. The output, for losses and metrics, is always float32.

    MONAI's engines, which handle float16, autocast only for CUDA, and add a gradient scaler, whose step waits for the device
    and which bfloat16 does not need. When a network for volumes trains on a CPU, its thinnest layers are computed in float32
    (`ExactThinVolumes`). A network that `place_network` marked is replayed from a CUDA graph in training (`GraphedNetwork`).

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
    ``(B, D, k)`` (`encoder_features`); of a network for volumes, or of images ``(B, C, i, j)``, ``(B, D, 1)``.

    Args:
        batch_size: number of slices per call of the encoder.
        amp: see `precision`.
        spatial_dims: 2 for a network for slices, 3 for a network for volumes.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False, spatial_dims: int = 2) -> None:
        super().__init__(amp)
        self.batch_size, self.spatial_dims = batch_size, spatial_dims

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        run = partial(super().__call__, network=lambda image: encoder_features(network, image))
        if self.spatial_dims == 3 or inputs.ndim == 4:
            return run(_without_metadata(inputs))[..., None]
        return rearrange(_of_slices(run, inputs, self.batch_size), "(b k) d -> b d k", b=len(inputs))


def _without_metadata(inputs: Tensor) -> Tensor:
    # a MetaTensor carries its metadata through every layer, which costs more than a small layer
    return inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs


def _of_slices(run: Callable[[Tensor], Tensor], volumes: Tensor, batch_size: int) -> Tensor:
    """The outputs ``(B * k, ...)`` for the slices of volumes ``(B, C, i, j, k)``."""
    slices = rearrange(_without_metadata(volumes), "b c i j k -> (b k) c i j").split(batch_size)
    return torch.cat([run(batch) for batch in slices])


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
        call = super().__call__

        def run(images: Tensor) -> Tensor:
            if self.sliding is None:
                return call(images, network, *args, **kwargs)
            return self.sliding(images, lambda window: call(window, network, *args, **kwargs))

        if self.spatial_dims == 2:
            made = _of_slices(run, inputs, self.batch_size)
            output = rearrange(made, "(b k) c i j -> b c i j k", b=len(inputs))
        else:
            output = run(_without_metadata(inputs))
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
