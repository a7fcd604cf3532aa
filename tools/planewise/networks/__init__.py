"""Networks with named parts, so that weights move between bundles by name.

Every network returns one tensor, as MONAI's tools and TorchScript need it. (Volumes have a further axis ``D``.)

- **maps** ``(B, C, H, W)`` on the image's grid: heatmaps, class logits, or a restored image;
- **maps and location** ``(B, K + 1, H, W)``: K maps, and the image's relative location, constant over the grid (`SliceNet`);
- **logits** ``(B, classes)``: one row for an image, a stack (`StackClassifier`) or two stacks (`TwoPhaseClassifier`);
- **embeddings** ``(B, D)``, which the loss normalises.

A second network that is used only in training (momentum, projector, context) belongs to the trainer.
"""

from planewise.networks.classifiers import (
    ForestNet,
    StackClassifier,
    TwoPhaseClassifier,
    load_both_phases,
    saliency_maps,
)
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
from planewise.networks.published import CinemaEncoder, MonaiUNetDecoder, MonaiUNetEncoder, NnunetEncoder
from planewise.networks.unet import ResidualDecoder, ResidualEncoder, UNetDecoder, UNetEncoder
from planewise.networks.vit import MaskedViT, MaskedViTDecoder, ViTDecoder, ViTEncoder
