"""The trained parts of contrastive predictive coding: a network, and layers that predict embeddings and are discarded after
training.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from planewise.geometry import inverted_pyramids, predicted_patches


class PredictiveCodingLearner(nn.Module):
    """Predict the embeddings of the next rows of patches from the rows before them (Taleb 2020, section 3.1).

    Each patch goes through the network and the projector, ``z_ijk = g_enc(x_ijk)``. A GRU runs over the inverted
    pyramid of a patch, from the first row to the patch itself (`planewise.geometry.inverted_pyramids`). Its final state
    is the context ``c_ijk = g_cxt({z_uvw})``. For each row ahead, a linear layer makes the prediction ``z^_(i+l,j,k) =
    W_l c_ijk`` (van den Oord 2018, Eq. 3), which is compared with the embeddings of all patches by the dot product.

    Args:
        network: maps patches to features ``(B, D)``; only this part is kept after training.
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
        # these tensors are not saved with the weights, because the network computes them when it is built
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("last", length - 1, persistent=False)
        self.register_buffer("asked", asked.context * rows_ahead + asked.ahead - 1, persistent=False)

    def contexts(self, embedded: Tensor) -> Tensor:
        """Compute the context of every patch that has a row after it.

        Args:
            embedded: embeddings of all patches, ``(B, P, D)``.

        Returns:
            ``(B, M, context_features)``; context m belongs to patch m.
        """
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
