"""Networks with named parts, so that weights move between bundles by name.

Every network returns one tensor, so that MONAI's engines, inferers, ``verify_net_in_out`` and TorchScript work without
changes. The shape of this tensor shows its meaning. (B is the batch; volumes have a further axis ``D`` after ``H, W``.)

- **maps** ``(B, C, H, W)`` on the image's grid: heatmaps, class logits, or a restored image (with as many channels as
  the image);
- **maps and location** ``(B, K + 1, H, W)``: K maps, followed by one channel with the image's relative location, which is
  constant over the grid (`SliceNet`; `planewise.losses.predicted_location` reads it);
- **logits** ``(B, classes)``: one row for an image, a stack (`StackClassifier`) or two stacks (`TwoPhaseClassifier`);
- **embeddings** ``(B, D)``, which are not normalised, because the loss normalises them.

The metadata of a bundle name the C channels under ``channel_def``. A second network that is used only in training
(momentum, projector, context) belongs to the trainer, not to ``network_def``.
"""

from planewise.networks.cinema import CinemaEncoder
from planewise.networks.forest_net import ForestNet
from planewise.networks.imagenet_encoders import (
    AlexNetDecoder,
    AlexNetEncoder,
    DenseNetEncoder,
    ResNetEncoder,
    VggEncoder,
)
from planewise.networks.learners import (
    ByolLearner,
    PredictiveCodingLearner,
    SimClrLearner,
    SimSiamLearner,
    TwoHeadLearner,
)
from planewise.networks.named_parts import (
    EmbeddingNet,
    LocationHead,
    ProjectionHead,
    SharedEncoderNet,
    SliceNet,
    encoder_features,
)
from planewise.networks.pretrained import (
    load_imagenet,
    load_pretrained,
    not_finite,
    place_network,
    read_weights,
    weights_of,
    weights_path,
)
from planewise.networks.public_unets import MonaiUNetDecoder, MonaiUNetEncoder, NnunetEncoder
from planewise.networks.stack_classifier import StackClassifier, TwoPhaseClassifier, load_both_phases, saliency_maps
from planewise.networks.unet import (
    PAPER_FEATURES,
    RESIDUAL_FEATURES,
    ResidualDecoder,
    ResidualEncoder,
    UNetDecoder,
    UNetEncoder,
)
from planewise.networks.vit import MaskedViT, MaskedViTDecoder, ViTDecoder, ViTEncoder
