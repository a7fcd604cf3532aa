"""Published numbers, for comparison with ours. The papers measured on patients; we measure on phantoms or your own data.

Here a method has the name of its pretext bundle (``sax_position`` is Bai 2019's anatomical position prediction).
``none`` is training from scratch, and ``imagenet`` starts from ImageNet weights alone. ``ssl_decoder``, ``ssl_all`` and
``ssl_multitask`` are Bai 2019's ways of transfer from the position pretext of the segmented view. Names that end in
``_dagger`` are the papers' rows with a dagger: weights that others trained on ImageNet, with other backbones, fine-tuned
directly. Names like ``vgg16_full_segmented`` are from Nakashima 2022: the backbone, its pretraining, and the images to
classify. Names that end in ``_2d`` are from Taleb 2020: pretexts and segmentation on slices. ``supervised`` is pretrained
on tissue masks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Values = TypeVar("Values")
#: Mean and standard deviation.
Spread = tuple[float, float]


@dataclass(frozen=True)
class Paper:
    """The source of the numbers.

    Attributes:
        name: name in a row of a table.
        citation: full citation.
    """

    name: str
    citation: str


@dataclass(frozen=True, eq=False)  # one object per table, so that its rows can be counted
class Published(Generic[Values]):
    """One table of one paper.

    Attributes:
        paper: the paper.
        table: the table's number, a comma, and the data set.
        values: method to its entries in the table.
    """

    paper: Paper
    table: str
    values: Mapping[str, Values]

    @property
    def data(self) -> str:
        """The data set of the numbers."""
        return self.table.partition(", ")[2]


ZHANG_2024 = Paper(
    name="Zhang 2024",
    citation="Zhang T, Wei D, Zhu M, Gu S, Zheng Y. Self-supervised learning for medical image data with anatomy-oriented "
    "imaging planes. Medical Image Analysis, 2024. arXiv:2403.16499.",
)
BAI_2019 = Paper(
    name="Bai 2019",
    citation="Bai W, Chen C, Tarroni G, Duan J, Guitton F, Petersen SE, Guo Y, Matthews PM, Rueckert D. Self-supervised "
    "learning for cardiac MR image segmentation by anatomical position prediction. MICCAI, 2019.",
)
NAKASHIMA_2022 = Paper(
    name="Nakashima 2022",
    citation="Nakashima M, Jang I, Basnet R, Benovoy M, Tang WHW, Nguyen C, Kwon D, Hwang TH, Chen D. Interaction of a "
    "priori anatomic knowledge with self-supervised contrastive learning in cardiac magnetic resonance imaging. 2022. "
    "arXiv:2205.12429.",
)

TALEB_2020 = Paper(
    name="Taleb 2020",
    citation="Taleb A, Loetzsch W, Danz N, Severin J, Gaertner T, Bergner B, Lippert C. 3D self-supervised methods for "
    "medical imaging. Advances in Neural Information Processing Systems, 2020. arXiv:2006.03829.",
)


def _by_count(text: str, counts: tuple[int, ...]) -> dict[str, dict[int, float]]:
    """Parse lines with a method and one number for each count of labelled exams."""
    lines = [line.split() for line in text.split("\n") if line]
    return {name: dict(zip(counts, map(float, numbers), strict=True)) for name, *numbers in lines}


def _by_structure(text: str) -> dict[str, dict[int, dict[str, Spread]]]:
    """Parse lines with a number of labelled exams, a method, and mean and standard deviation of each of `STRUCTURES`."""
    table: dict[str, dict[int, dict[str, Spread]]] = {}
    for count, method, *words in (line.split() for line in text.split("\n") if line):
        numbers = list(map(float, words))
        spreads = zip(numbers[::2], numbers[1::2], strict=True)
        table.setdefault(method, {})[int(count)] = dict(zip(STRUCTURES, spreads, strict=True))
    return table


def _by_transfer(text: str) -> dict[str, dict[int, dict[str, Spread]]]:
    """Parse lines with a number of labelled exams, and mean and standard deviation over all structures for each of
    `TRANSFERS`.
    """
    table: dict[str, dict[int, dict[str, Spread]]] = {method: {} for method in TRANSFERS}
    for count, *words in (line.split() for line in text.split("\n") if line):
        numbers = list(map(float, words))
        for method, spread in zip(TRANSFERS, zip(numbers[::2], numbers[1::2], strict=True), strict=True):
            table[method][int(count)] = {"mean": spread}
    return table


def _by_backbone(number: int, columns: tuple[str, ...], text: str) -> tuple[Published[float], ...]:
    """One table for each data set, from lines with a data set, a backbone and a number for each column. The columns are
    the endings of the methods' names."""
    values: dict[str, dict[str, float]] = {}
    for data, backbone, *numbers in (line.split() for line in text.split("\n") if line):
        for column, found in zip(columns, map(float, numbers), strict=True):
            values.setdefault(data, {})[f"{backbone}_{column}"] = found
    return tuple(Published(NAKASHIMA_2022, f"Table {number}, {data}", found) for data, found in values.items())


#: Anatomy to tables of relative location, each method's MSE, MAE, r, R^2 and explained variance.
LOCATION: dict[str, tuple[Published[tuple[float, ...]], ...]] = {
    "cardiac": (
        Published(
            ZHANG_2024,
            "Table 2, DSBCC",
            {
                "location": (0.0187, 0.1030, 0.9187, 0.8266, 0.8304),
                "multitask": (0.0128, 0.0826, 0.9415, 0.8822, 0.8847),
            },
        ),
    ),
    "knee": (
        Published(
            ZHANG_2024,
            "Table 2, fastMRI",
            {
                "location": (0.0146, 0.0914, 0.9254, 0.8555, 0.8558),
                "multitask": (0.0142, 0.0896, 0.9284, 0.8596, 0.8598),
            },
        ),
    ),
}

#: Columns of the segmentation tables, in the paper's order: over all structures, and each structure.
STRUCTURES = ("mean", "LV", "RV", "myocardium")

#: The ways of transfer in the order of Bai 2019's columns: U-net-scratch, SSL+Decoder, SSL+All and SSL+MultiTask.
TRANSFERS = ("none", "ssl_decoder", "ssl_all", "ssl_multitask")

_ZHANG_DICE = Published(
    ZHANG_2024,
    "Table 4, ACDC",
    _by_structure(
        """
  1 none                       0.328  0.286   0.456  0.338   0.227  0.216   0.299  0.238
  1 slice_order                0.437  0.318   0.507  0.357   0.341  0.288   0.462  0.278
  1 jigsaw                     0.410  0.286   0.486  0.297   0.370  0.266   0.372  0.279
  1 models_genesis             0.470  0.275   0.569  0.294   0.374  0.237   0.466  0.254
  1 sax_position               0.461  0.290   0.547  0.323   0.375  0.265   0.461  0.249
  1 simclr                     0.278  0.288   0.328  0.344   0.264  0.249   0.243  0.255
  1 byol                       0.230  0.252   0.232  0.293   0.242  0.216   0.216  0.241
  1 masked_autoencoder         0.326  0.282   0.414  0.336   0.256  0.236   0.307  0.239
  1 location                   0.433  0.306   0.481  0.360   0.380  0.266   0.440  0.275
  1 orientation                0.471  0.297   0.567  0.336   0.394  0.253   0.453  0.269
  1 multitask                  0.511  0.289   0.619  0.317   0.438  0.241   0.475  0.270
  4 none                       0.702  0.228   0.761  0.258   0.631  0.241   0.715  0.151
  4 slice_order                0.745  0.205   0.826  0.185   0.659  0.230   0.750  0.156
  4 jigsaw                     0.783  0.156   0.856  0.164   0.721  0.152   0.771  0.115
  4 models_genesis             0.798  0.138   0.875  0.108   0.736  0.159   0.782  0.101
  4 sax_position               0.766  0.175   0.828  0.153   0.711  0.219   0.758  0.115
  4 simclr                     0.750  0.192   0.802  0.243   0.698  0.179   0.749  0.115
  4 byol                       0.762  0.161   0.801  0.184   0.764  0.121   0.722  0.163
  4 masked_autoencoder         0.788  0.167   0.842  0.175   0.732  0.197   0.789  0.089
  4 location                   0.794  0.151   0.882  0.080   0.733  0.188   0.766  0.118
  4 orientation                0.813  0.136   0.871  0.154   0.784  0.139   0.789  0.083
  4 multitask                  0.814  0.118   0.869  0.107   0.777  0.132   0.795  0.091
 16 none                       0.815  0.129   0.849  0.135   0.785  0.144   0.809  0.093
 16 slice_order                0.813  0.133   0.837  0.150   0.794  0.141   0.806  0.101
 16 jigsaw                     0.815  0.116   0.845  0.133   0.809  0.104   0.790  0.102
 16 models_genesis             0.819  0.144   0.856  0.146   0.792  0.176   0.810  0.087
 16 sax_position               0.815  0.141   0.847  0.142   0.785  0.177   0.810  0.079
 16 simclr                     0.824  0.129   0.852  0.168   0.815  0.112   0.807  0.093
 16 byol                       0.823  0.132   0.844  0.165   0.825  0.126   0.799  0.089
 16 masked_autoencoder         0.818  0.158   0.861  0.142   0.766  0.205   0.826  0.086
 16 location                   0.831  0.148   0.873  0.167   0.794  0.169   0.826  0.148
 16 orientation                0.834  0.115   0.866  0.112   0.837  0.135   0.801  0.084
 16 multitask                  0.840  0.136   0.868  0.177   0.825  0.131   0.826  0.078
 32 none                       0.851  0.112   0.887  0.153   0.824  0.089   0.844  0.061
 32 slice_order                0.875  0.107   0.880  0.160   0.877  0.076   0.867  0.053
 32 jigsaw                     0.880  0.104   0.905  0.152   0.859  0.078   0.875  0.046
 32 models_genesis             0.884  0.066   0.912  0.072   0.875  0.058   0.866  0.058
 32 sax_position               0.871  0.095   0.913  0.088   0.832  0.114   0.869  0.055
 32 simclr                     0.869  0.108   0.884  0.156   0.857  0.089   0.867  0.052
 32 byol                       0.897  0.062   0.929  0.047   0.885  0.067   0.877  0.056
 32 masked_autoencoder         0.886  0.071   0.915  0.080   0.864  0.076   0.879  0.040
 32 location                   0.884  0.075   0.913  0.082   0.865  0.082   0.874  0.049
 32 orientation                0.885  0.073   0.908  0.085   0.872  0.079   0.875  0.043
 32 multitask                  0.900  0.055   0.926  0.051   0.891  0.058   0.882  0.047
 64 none                       0.868  0.081   0.920  0.049   0.828  0.106   0.855  0.041
 64 slice_order                0.887  0.067   0.920  0.077   0.879  0.058   0.862  0.050
 64 jigsaw                     0.886  0.067   0.913  0.072   0.877  0.071   0.867  0.045
 64 models_genesis             0.898  0.061   0.915  0.073   0.893  0.067   0.887  0.033
 64 sax_position               0.903  0.056   0.930  0.067   0.891  0.050   0.889  0.036
 64 simclr                     0.897  0.054   0.928  0.053   0.882  0.048   0.882  0.046
 64 byol                       0.901  0.055   0.925  0.059   0.897  0.048   0.882  0.048
 64 masked_autoencoder         0.902  0.058   0.935  0.053   0.884  0.065   0.886  0.039
 64 location                   0.907  0.054   0.939  0.040   0.896  0.060   0.886  0.046
 64 orientation                0.906  0.053   0.934  0.047   0.894  0.061   0.890  0.038
 64 multitask                  0.910  0.058   0.941  0.038   0.897  0.075   0.893  0.042
 64 simclr_dagger              0.884  0.113   0.903  0.153   0.877  0.109   0.871  0.052
 64 byol_dagger                0.872  0.077   0.883  0.091   0.881  0.082   0.851  0.046
 64 masked_autoencoder_dagger  0.885  0.069   0.912  0.075   0.887  0.066   0.855  0.052
"""
    ),
)

#: The segmented stack to tables of Dice, by method, number of labelled exams and structure.
SEGMENTATION_DICE: dict[str, tuple[Published[dict[int, dict[str, Spread]]], ...]] = {
    "sax": (
        _ZHANG_DICE,
        Published(
            BAI_2019,
            "Table 1, UK Biobank",
            _by_transfer(
                """
  1  0.361 0.047  0.515 0.099  0.618 0.068  0.704 0.065
  5  0.811 0.037  0.837 0.048  0.844 0.046  0.852 0.046
 10  0.859 0.037  0.860 0.039  0.873 0.036  0.875 0.036
 50  0.876 0.035  0.871 0.038  0.884 0.033  0.873 0.037
100  0.886 0.030  0.867 0.037  0.883 0.035  0.887 0.031
"""
            ),
        ),
    ),
    "4ch": (
        Published(
            BAI_2019,
            "Table 2, UK Biobank",
            _by_transfer(
                """
  1  0.678 0.132  0.699 0.069  0.733 0.081  0.600 0.122
  5  0.848 0.080  0.850 0.068  0.875 0.051  0.861 0.049
 10  0.875 0.044  0.888 0.039  0.905 0.039  0.889 0.031
 50  0.922 0.031  0.914 0.035  0.925 0.028  0.926 0.029
100  0.930 0.032  0.924 0.037  0.933 0.031  0.934 0.029
"""
            ),
        ),
    ),
}

_ZHANG_ASSD = Published(
    ZHANG_2024,
    "Table 4, ACDC",
    _by_structure(
        """
  1 none                      20.223 28.729  27.463 39.943  21.054 21.337  12.151 17.525
  1 slice_order               20.425 28.849  19.558 29.433  24.468 28.677  17.249 27.946
  1 jigsaw                    21.778 29.537  25.064 35.956  18.757 20.099  21.513 30.008
  1 models_genesis            14.713 22.634  14.676 24.579  16.884 23.920  12.578 18.742
  1 sax_position              17.151 31.190  20.156 39.117  17.364 23.287  13.932 28.748
  1 simclr                    33.262 44.645  33.503 47.469  31.741 40.985  33.262 44.645
  1 byol                      33.929 43.196  33.140 43.360  28.948 38.385  39.699 46.749
  1 masked_autoencoder        26.841 42.818  18.023 30.621  40.991 53.739  21.506 42.817
  1 location                  18.333 25.977  20.638 30.416  17.671 20.710  16.691 25.729
  1 orientation               14.258 24.692  10.486 18.307  13.876 16.098  18.412 34.688
  1 multitask                 13.900 29.809  14.665 33.594  17.034 35.445  10.001 15.974
  4 none                       4.754  7.705   5.138  8.782   6.506  9.409   2.618  2.157
  4 slice_order                3.316  4.150   2.791  4.512   4.918  4.420   2.241  2.788
  4 jigsaw                     2.273  3.290   1.995  4.794   3.503  2.491   1.323  0.891
  4 models_genesis             2.117  2.095   1.635  2.287   3.015  1.950   1.701  1.710
  4 sax_position               2.528  2.768   2.372  2.727   3.552  3.416   1.659  1.431
  4 simclr                     3.348  5.569   4.145  8.937   3.946  2.786   1.953  1.575
  4 byol                       2.592  2.382   3.062  3.105   2.873  1.939   1.841  1.661
  4 masked_autoencoder         2.259  3.091   2.429  4.516   2.944  2.492   1.404  0.907
  4 location                   2.585  2.915   1.556  1.350   3.431  3.102   2.766  3.499
  4 orientation                2.226  4.959   2.639  8.266   2.562  1.932   1.476  0.946
  4 multitask                  1.917  1.668   1.853  1.967   2.628  1.721   1.271  0.770
 16 none                       2.064  1.943   2.326  2.511   2.611  1.813   1.255  0.845
 16 slice_order                2.070  2.121   2.573  2.966   2.317  1.670   1.319  1.016
 16 jigsaw                     2.001  1.869   2.341  2.581   2.272  1.502   1.391  1.001
 16 models_genesis             2.078  2.263   2.222  2.935   2.415  2.149   1.596  1.325
 16 sax_position               2.144  2.676   2.458  3.102   2.625  3.030   1.348  1.311
 16 simclr                     1.992  3.011   2.581  4.877   1.969  1.263   1.429  1.073
 16 byol                       1.838  2.791   2.301  4.348   2.039  1.799   1.173  0.726
 16 masked_autoencoder         2.031  2.641   2.004  2.724   2.947  3.324   1.143  0.914
 16 location                   1.938  3.411   1.944  4.873   2.654  2.981   1.215  1.187
 16 orientation                1.599  1.622   1.683  2.016   1.782  1.683   1.331  0.940
 16 multitask                  1.602  2.699   1.922  4.263   1.865  1.661   1.019  0.641
 32 none                       1.552  2.779   1.671  4.508   2.126  1.343   0.858  0.465
 32 slice_order                1.400  2.569   1.893  4.142   1.515  1.317   0.792  0.531
 32 jigsaw                     1.187  2.568   1.351  4.241   1.565  1.118   0.645  0.296
 32 models_genesis             1.075  1.079   1.095  1.468   1.427  0.986   0.702  0.324
 32 sax_position               1.339  1.616   1.046  1.739   2.232  1.846   0.738  0.406
 32 simclr                     1.430  2.364   1.766  3.861   1.695  1.170   0.830  0.539
 32 byol                       0.873  0.866   0.687  0.775   1.259  1.124   0.672  0.404
 32 masked_autoencoder         1.089  1.183   0.997  1.482   1.622  1.179   0.647  0.353
 32 location                   1.149  1.289   1.070  1.640   1.671  1.288   0.705  0.405
 32 orientation                1.087  1.286   1.034  1.630   1.546  1.336   0.680  0.376
 32 multitask                  0.850  0.815   0.735  0.945   1.177  0.908   0.639  0.331
 64 none                       1.302  1.358   0.727  0.701   2.317  1.809   0.863  0.467
 64 slice_order                1.069  1.150   1.003  1.613   1.376  0.909   0.828  0.617
 64 jigsaw                     1.037  1.116   1.021  1.504   1.418  1.054   0.671  0.298
 64 models_genesis             0.883  0.962   0.866  1.177   1.197  1.058   0.586  0.290
 64 sax_position               0.799  0.908   0.714  1.253   1.127  0.806   0.558  0.281
 64 simclr                     0.921  0.878   0.790  1.047   1.306  0.925   0.668  0.389
 64 byol                       0.841  0.813   0.843  1.044   1.048  0.811   0.632  0.379
 64 masked_autoencoder         0.833  0.798   0.584  0.723   1.334  0.964   0.583  0.289
 64 location                   0.793  0.769   0.570  0.679   1.167  0.934   0.641  0.480
 64 orientation                0.789  0.882   0.634  0.821   1.190  1.168   0.544  0.228
 64 multitask                  0.719  0.932   0.526  0.528   1.119  1.425   0.510  0.233
 64 simclr_dagger              1.159  2.867   1.149  4.608   1.319  1.708   0.661  0.113
 64 byol_dagger                1.202  1.216   1.484  1.447   1.286  1.374   0.836  0.486
 64 masked_autoencoder_dagger  1.035  1.154   1.083  1.529   1.216  1.133   0.807  0.538
"""
    ),
)

#: Average symmetric surface distance in mm, with the same keys.
SEGMENTATION_ASSD: dict[str, tuple[Published[dict[int, dict[str, Spread]]], ...]] = {"sax": (_ZHANG_ASSD,)}

#: Macro AUC of five diagnoses from masks, by method and number of exams in the fine-tuning of the segmentation.
DIAGNOSIS_AUC: tuple[Published[dict[int, float]], ...] = (
    Published(
        ZHANG_2024,
        "Table 3, ACDC",
        _by_count(
            """
none                      0.608 0.825 0.861 0.909 0.920
slice_order               0.750 0.884 0.912 0.934 0.918
jigsaw                    0.835 0.881 0.929 0.904 0.968
models_genesis            0.768 0.893 0.937 0.928 0.928
sax_position              0.686 0.815 0.922 0.921 0.956
simclr                    0.567 0.821 0.921 0.924 0.925
byol                      0.454 0.754 0.912 0.943 0.943
masked_autoencoder        0.598 0.868 0.931 0.937 0.935
location                  0.734 0.880 0.925 0.927 0.962
orientation               0.795 0.868 0.903 0.925 0.934
multitask                 0.839 0.903 0.959 0.959 0.972
simclr_dagger             0.484 0.717 0.841 0.866 0.873
byol_dagger               0.392 0.735 0.893 0.925 0.935
masked_autoencoder_dagger 0.489 0.811 0.818 0.827 0.840
""",
            (1, 4, 16, 32, 64),
        ),
    ),
)

#: Mean AUC of abnormality, ACL tear and meniscal tear, by method and number of labelled exams. All except `none` start
#: from ImageNet weights.
INJURY_AUC: tuple[Published[dict[int, float]], ...] = (
    Published(
        ZHANG_2024,
        "Table 5, MRNet",
        _by_count(
            """
none                      0.433 0.429 0.474 0.562
imagenet                  0.682 0.737 0.799 0.824
models_genesis            0.631 0.722 0.707 0.699
sax_position              0.654 0.713 0.719 0.723
jigsaw                    0.632 0.703 0.770 0.793
slice_order               0.625 0.740 0.773 0.792
masked_autoencoder        0.548 0.583 0.618 0.624
byol                      0.577 0.641 0.690 0.753
simclr                    0.698 0.761 0.774 0.800
location                  0.740 0.781 0.791 0.815
orientation               0.703 0.774 0.787 0.803
multitask                 0.755 0.783 0.801 0.819
masked_autoencoder_dagger 0.421 0.462 0.519 0.536
byol_dagger               0.440 0.531 0.533 0.552
simclr_dagger             0.432 0.474 0.496 0.530
""",
            (80, 200, 400, 800),
        ),
    ),
)

#: Nakashima 2022: the parts of a method's name are the backbone, its pretraining (``full`` and ``segmented`` are SimCLR on
#: the data set's own images, whole or cropped to the heart), and the images to classify.
BACKBONES = ("vgg16", "densenet121")
PRETRAININGS = ("none", "imagenet", "full", "segmented")
IMAGES = ("full", "segmented")

#: Macro AUC of diagnoses from end-diastole and end-systole: number of Nakashima 2022's table to its data sets. ACDC has
#: five classes, ICM (against non-ischaemic cardiomyopathy) and AMYL (amyloidosis, against hypertrophic cardiomyopathy)
#: two each. Table 3 repeats the columns of SimCLR, except for ICM's DenseNet121 at ``full_segmented``, which differs in
#: the paper.
TWO_PHASE_AUC: dict[int, tuple[Published[float], ...]] = {
    1: _by_backbone(
        1,
        tuple(f"{name}_full" for name in PRETRAININGS),
        """
ACDC vgg16       0.542 0.532 0.849 0.738
ACDC densenet121 0.574 0.766 0.867 0.765
ICM  vgg16       0.724 0.877 0.877 0.860
ICM  densenet121 0.843 0.901 0.902 0.902
AMYL vgg16       0.570 0.605 0.684 0.698
AMYL densenet121 0.621 0.667 0.708 0.698
""",
    ),
    2: _by_backbone(
        2,
        tuple(f"{name}_segmented" for name in PRETRAININGS),
        """
ACDC vgg16       0.746 0.814 0.890 0.901
ACDC densenet121 0.744 0.890 0.888 0.878
ICM  vgg16       0.791 0.826 0.886 0.908
ICM  densenet121 0.856 0.892 0.886 0.904
AMYL vgg16       0.594 0.625 0.680 0.647
AMYL densenet121 0.597 0.637 0.669 0.730
""",
    ),
    3: _by_backbone(
        3,
        tuple(f"{learned}_{classified}" for learned in IMAGES for classified in IMAGES),
        """
ACDC vgg16       0.849 0.890 0.738 0.901
ACDC densenet121 0.867 0.888 0.765 0.878
ICM  vgg16       0.877 0.886 0.860 0.908
ICM  densenet121 0.902 0.866 0.902 0.904
AMYL vgg16       0.684 0.680 0.698 0.647
AMYL densenet121 0.708 0.669 0.698 0.730
""",
    ),
}

#: Columns of Taleb 2020's Table 1: enhancing tumour, whole tumour, tumour core.
TUMOUR_REGIONS = ("ET", "WT", "TC")


def _by_region(text: str) -> dict[str, dict[str, float]]:
    """Parse lines with a method and the Dice of each of `TUMOUR_REGIONS`, percent."""
    lines = [line.split() for line in text.split("\n") if line]
    return {name: dict(zip(TUMOUR_REGIONS, map(float, numbers), strict=True)) for name, *numbers in lines}


#: Entries of the BraTS challenge that Taleb 2020 compares with, single 3D U-Nets like its own.
CHALLENGE = ("popli", "baid", "chandra", "isensee")

#: Dice of brain tumours with all labelled cases, percent, by method, or `CHALLENGE`, and region.
TUMOUR_DICE = Published(
    TALEB_2020,
    "Table 1, BraTS 2018",
    _by_region(
        """
none                           76.38 87.82 83.11
supervised                     78.88 90.11 84.92
contrastive_predictive_coding_2d 76.60 86.27 82.41
relative_patch_location_2d     77.53 87.91 82.56
jigsaw_2d                      76.12 86.28 83.26
rotation_2d                    76.60 88.78 82.41
exemplar_2d                    75.22 84.82 81.87
contrastive_predictive_coding  80.83 89.88 85.11
relative_patch_location        81.28 90.71 86.12
jigsaw                         79.66 89.20 82.52
rotation                       80.21 89.63 84.75
exemplar                       79.46 90.80 83.87
popli                          74.39 89.41 82.48
baid                           74.80 87.80 82.66
chandra                        74.06 87.19 79.89
isensee                        80.36 90.80 84.32
"""
    ),
)


def whole(
    tables: Sequence[Published[Mapping[int, Values]]], counts: Iterable[int], methods: Iterable[str]
) -> tuple[list[int], list[str]]:
    """The numbers of labelled exams and the methods of a table that combines a study's results with those of the papers.

    The numbers are in increasing order; methods that only the papers have come after the study's methods.
    """
    theirs = [count for table in tables for row in table.values.values() for count in row]
    names = [method for table in tables for method in table.values]
    return sorted({*counts, *theirs}), list(dict.fromkeys([*methods, *names]))


def of_these(tables: Sequence[Published[Values]], methods: Collection[str]) -> list[Published[Values]]:
    """The tables to show with a study: those that share the most methods with it.

    Every paper trains from scratch, so a study of one paper's methods would otherwise also show the scratch rows of all
    other papers.
    """
    shared = [len(set(table.values) & set(methods)) for table in tables]
    return [table for table, number in zip(tables, shared, strict=True) if number == max(shared) > 0]
