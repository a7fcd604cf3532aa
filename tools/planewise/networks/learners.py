"""The trained parts of methods that discard a part after training."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy

import torch
from einops import rearrange
from torch import Tensor, nn

from planewise.errors import InputError
from planewise.geometry import inverted_pyramids, predicted_patches


class SimClrLearner(nn.Module):
    """A network that maps ``(B, C, H, W)`` to embeddings ``(B, D)``, followed by a projector to ``(B, P)`` (f and g in Chen
    2020, section 2.1). Only the network is kept after training, as in the following learners.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, as one batch, and returns ``(B, 2, P)``.
    """

    #: Number of views, whose channels follow each other.
    pieces = 2

    def __init__(self, network: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector

    def forward(self, views: Tensor) -> Tensor:
        projected = self.projector(self.network(rearrange(views, "b (v c) h w -> (v b) c h w", v=self.pieces)))
        return rearrange(projected, "(v b) p -> b v p", b=len(views))


class ByolLearner(nn.Module):
    """An online network with projector and predictor, and a target network with projector (Grill 2020, section 3.1).

    The target is never trained; `follow` moves its weights towards the online weights. It has its own batch statistics.

    Args:
        network, projector: as for `SimClrLearner`.
        predictor: maps ``(B, P)`` to ``(B, P)``.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, and returns ``(B, 2, 2, P)``: for each view,
    the online prediction and the target's projection, which has no gradient.
    """

    def __init__(self, network: nn.Module, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector
        self.predictor = predictor
        self.target_network = deepcopy(network).requires_grad_(False)
        self.target_projector = deepcopy(projector).requires_grad_(False)

    def forward(self, views: Tensor) -> Tensor:
        images = rearrange(views, "b (v c) h w -> (v b) c h w", v=2)
        online = self.predictor(self.projector(self.network(images)))
        with torch.no_grad():
            target = self.target_projector(self.target_network(images))
        return rearrange(torch.stack([online, target]), "two (v b) p -> b v two p", b=len(views))

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Update the target weights xi from the online weights theta: ``xi <- tau xi + (1 - tau) theta``, with the momentum
        tau."""
        online = [*self.network.parameters(), *self.projector.parameters()]
        target = [*self.target_network.parameters(), *self.target_projector.parameters()]
        for slow, fast in zip(target, online, strict=True):
            slow.lerp_(fast, 1 - momentum)


class SimSiamLearner(nn.Module):
    """A network with a projector, followed by a predictor (f and h in Chen and He 2021, section 3).

    Both views go through the same weights. To keep embeddings apart, no gradient flows through the projections.

    Args:
        network, projector: as for `SimClrLearner`.
        predictor: maps ``(B, P)`` to ``(B, P)``.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, and returns ``(B, 2, 2, P)``: for each view,
    the prediction ``p`` and the projection ``z``, which has no gradient. Each view has its own batch statistics.

    Raises:
        InputError: a training batch has only one slice, which is too few for batch statistics.
    """

    def __init__(self, network: nn.Module, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.network, self.projector, self.predictor = network, projector, predictor

    def forward(self, views: Tensor) -> Tensor:
        if self.training and len(views) < 2:
            raise InputError(
                "every batch needs at least 2 slices, got 1; choose a --batch_size that leaves no single slice over"
            )
        projected = [self.projector(self.network(view)) for view in views.chunk(2, dim=1)]
        return torch.stack([torch.stack([self.predictor(z), z.detach()], dim=1) for z in projected], dim=1)


class PredictiveCodingLearner(nn.Module):
    """Predict the embeddings of the next rows of patches from the rows before them (Taleb 2020, section 3.1).

    Each patch goes through the network and the projector, ``z_ijk = g_enc(x_ijk)``. A GRU runs over the inverted
    pyramid of a patch, from the first row to the patch itself (`planewise.geometry.inverted_pyramids`). Its final state
    is the context ``c_ijk = g_cxt({z_uvw})``. For each row ahead, a linear layer makes the prediction ``z^_(i+l,j,k) =
    W_l c_ijk`` (van den Oord 2018, Eq. 3), which is compared with the embeddings of all patches by the dot product.

    Args:
        network: maps patches to features ``(B, D)``.
        projector: maps features to embeddings; its attribute ``out_channels`` is the width of the embeddings.
        patches_per_side: number of patches along each side of the grid.
        rows_ahead: number of predicted rows.
        context_features: width of the GRU.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes P patches as channels, ``(B, P * C, h, w)`` or, for volumes, ``(B, P * C, h, w, d)``, and runs them as
    one batch. It returns the similarity of each of Q predictions (`planewise.geometry.predicted_patches`) to each patch,
    ``(B, Q, P)``. Everything after the embeddings is computed in float32.
    """

    def __init__(
        self,
        network: nn.Module,
        projector: nn.Module,
        patches_per_side: int = 4,
        rows_ahead: int = 2,
        context_features: int = 256,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        self.network = network
        self.projector = projector
        width = int(projector.out_channels)
        self.context = nn.GRU(width, context_features, batch_first=True)
        self.predictors = nn.ModuleList([nn.Linear(context_features, width) for _ in range(rows_ahead)])
        self.patches = patches_per_side**spatial_dims
        known, length = inverted_pyramids(patches_per_side, spatial_dims)
        asked = predicted_patches(patches_per_side, spatial_dims, rows_ahead)
        # not saved with the weights, because the network computes them when it is built
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("last", length - 1, persistent=False)
        self.register_buffer("asked", asked.context * rows_ahead + asked.ahead - 1, persistent=False)

    def contexts(self, embedded: Tensor) -> Tensor:
        """The context of every patch that has a row after it, ``(B, M, context_features)``, from the embeddings of all
        patches, ``(B, P, D)``; context m belongs to patch m."""
        sequences = embedded[:, self.known]
        states, _ = self.context(sequences.flatten(0, 1))
        states = states.unflatten(0, sequences.shape[:2])
        # the states of a GRU do not depend on later inputs, so the padding after the last patch changes nothing
        last = self.last[None, :, None, None].expand(len(states), -1, -1, states.shape[-1])
        return states.gather(2, last)[:, :, 0]

    def forward(self, patches: Tensor) -> Tensor:
        each = patches.unflatten(1, (self.patches, patches.shape[1] // self.patches)).flatten(0, 1)
        embedded = self.projector(self.network(each)).unflatten(0, (len(patches), self.patches))
        # autocast is switched off, on devices that have it
        kind = patches.device.type
        has_it = torch.amp.is_autocast_available(kind)
        with torch.autocast(kind, enabled=False) if has_it else nullcontext():
            embedded = embedded.float()
            contexts = self.contexts(embedded)
            predicted = torch.stack([predictor(contexts) for predictor in self.predictors], dim=2).flatten(1, 2)
            return predicted.index_select(1, self.asked) @ embedded.transpose(1, 2)


class TwoHeadLearner(nn.Module):
    """The weights of a network, and of the head of another task on the same encoder and decoder (Bai 2019, Fig. 2d).

    The other task's network, which is changed in place, uses the encoder and the decoder of the network to keep, or only the
    encoder if it has no decoder (for locations). The names of the first network's weights do not change; the names of the
    other head's weights begin with ``other.``. There is no `forward`, because each task runs its own network.
    """

    def __init__(self, network: nn.Module, other: nn.Module) -> None:
        super().__init__()
        shared = ("encoder", "decoder")
        for name in shared:
            if getattr(other, name, None) is not None:
                setattr(other, name, getattr(network, name))
        for name, part in network.named_children():
            setattr(self, name, part)
        self.other = nn.ModuleDict({name: part for name, part in other.named_children() if name not in shared})
