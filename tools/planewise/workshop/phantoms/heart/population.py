"""Hearts' patients, scanners and populations: every number that determines their variation and difficulty."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from planewise.errors import InputError
from planewise.workshop.phantoms.settings import declared, tables


class Population(declared("heart")):
    """Spread of anatomy, planes and scanners in one set of exams.

    Segmentation from few labels is difficult mainly because the pose varies, and also because form and contrast vary.
    """

    def demo(self) -> Population:
        """With twice the pixel spacing, five phases, and slices 10 mm apart, for a thirtieth of the work."""
        low, high = self.spacing
        slices = tuple(pair for pair in self.slices if sum(pair) == 10)
        return replace(
            self, spacing=(2 * low, 2 * high), field=(280.0, 330.0), field_ratio=(0.85, 1.0), slices=slices, phases=5
        )


#: Exams for pretraining, as in DSBCC: newer scanners, thinner slices with gaps, images corrected for coil shading.
UNLABELLED = Population()

#: Exams with masks, as in ACDC.
LABELLED = Population.named("labelled")

#: Exams as in UK Biobank.
VOLUNTEERS = Population.named("volunteers")


#: The distributions of the hearts of each diagnosis.
GROUPS = {name: SimpleNamespace(**group) for name, group in tables("heart")["groups"].items()}


@dataclass(frozen=True)
class Patient:
    """One patient. The volumes are targets for building the heart; `Heart.volumes` returns the actual volumes."""

    group: str
    sex: str
    height: float  # cm
    weight: float  # kg
    lv_edv: float  # ml
    lv_ef: float
    rv_edv: float  # ml
    rv_ef: float
    wall: float  # mm, end-diastolic, away from any lesion

    @property
    def body_surface(self) -> float:
        """Body surface area after Mosteller, m2."""
        return float(np.sqrt(self.height * self.weight / 3600))

    @property
    def body_mass_index(self) -> float:
        """Body mass index, kg/m2."""
        return self.weight / (self.height / 100) ** 2

    @classmethod
    def sample(cls, rng: np.random.Generator, group: str) -> Patient:
        """A patient with one of the diagnoses in `GROUPS`."""
        spread = GROUPS[group]
        male = rng.random() < 0.6
        height = np.clip(rng.normal(176, 7) if male else rng.normal(163, 6.5), 145, 202)
        weight = np.clip(rng.normal(26, 4), 18, 42) * (height / 100) ** 2
        # the volumes of the two ventricles are correlated, because both pump the same blood
        common = rng.standard_normal()
        lv_score, rv_score = 0.6 * common + 0.8 * rng.standard_normal(2)
        size = (1.04 if male else 0.94) * np.sqrt(height * weight / 3600)
        return cls(
            group=group,
            sex="M" if male else "F",
            height=float(np.round(height)),
            weight=float(np.round(weight)),
            lv_edv=float(size * max(spread.lv_edv[0] + spread.lv_edv[1] * lv_score, 45)),
            lv_ef=float(np.clip(rng.normal(*spread.lv_ef), *spread.lv_ef_range)),
            rv_edv=float(size * max(spread.rv_edv[0] + spread.rv_edv[1] * rv_score, 45)),
            rv_ef=float(np.clip(rng.normal(*spread.rv_ef), *spread.rv_ef_range)),
            wall=float(np.clip(rng.normal(*spread.wall) + (0.5 if male else -0.5), 5.5, 13)),
        )


#: Signal of each tissue in a bright-blood cine, relative to blood.
#:
#: Fat is negative if it is in opposed phase to water at the scanner's echo time. Inside a voxel, signals are added with their
#: signs, and the image shows the magnitude of the sum. Dark lines therefore appear between fat and water, as in real images.
#: The other values are those of the settings of the same names; ``sponge`` has the thickness in the left and in the right
#: ventricle, mm.
Contrast = namedtuple(
    "Contrast",
    "right_blood right_strands flow strands sponge sponge_blood myocardium fat muscle liver spleen lung marrow fluid "
    "kidney stomach blood",
)


def sample_contrast(rng: np.random.Generator, population: Population) -> Contrast:
    """The tissues of one scanner and patient."""
    first = population.draw(rng, "fat", "liver")
    opposed = rng.random() < population.opposed_phase
    # a separate generator, so that the draws for the other tissues stay the same
    right = rng.spawn(1)[0]
    moving = population.draw(right, "right_blood", "right_strands", "flow", "strands", "sponge")
    sponges = (moving.pop("sponge"), right.uniform(*population.sponge))
    return Contrast(
        **moving,
        sponge=sponges,
        **population.draw(right, "sponge_blood"),
        **population.draw(rng, "myocardium", "muscle"),
        fat=-first["fat"] if opposed else first["fat"],
        liver=first["liver"],
        spleen=first["liver"] * rng.uniform(0.8, 1.4),
        **population.draw(rng, "lung"),
        marrow=rng.uniform(0.12, 0.35),
        fluid=rng.uniform(0.9, 1.4),
        kidney=rng.uniform(0.4, 0.7),
        **population.draw(rng, "stomach"),
        blood=1.0,
    )


#: Minimum number of pixels on the shorter side of an image; real scanners reconstruct 64 or more.
_SMALLEST = 16


@dataclass(frozen=True)
class Scanner:
    """Scan settings of one exam."""

    spacing: float  # mm, the same along rows and columns
    matrix: tuple[int, int]  # columns and rows of a short-axis image
    thickness: float  # mm
    gap: float  # mm between slices
    phases: int
    interval: float  # length of the heart's cycle, ms
    noise: float  # share of the blood's signal
    shading: float
    blur: float  # share of a pixel's signal that its neighbours receive
    gain: float  # pixel value of blood
    field_strength: float  # tesla
    breath: float  # spread of the heart's height between breath-holds, mm
    contrast: Contrast
    whole_slices: float  # see `Population`

    @property
    def distance(self) -> float:
        """Distance between centres of neighbouring slices, mm."""
        return self.thickness + self.gap

    @classmethod
    def sample(cls, rng: np.random.Generator, population: Population) -> Scanner:
        """Sample a scanner and its protocol from a population.

        Raises:
            InputError: the population's pixels are too large for its field.
        """
        spacing = round(rng.uniform(*population.spacing), 4)
        field = rng.uniform(*population.field)
        ratio = rng.uniform(*population.field_ratio)
        thickness, gap = population.slices[rng.integers(len(population.slices))]
        # scanners reconstruct matrices that are multiples of four
        matrix = tuple(int(4 * np.round(side / spacing / 4)) for side in (field, field * ratio))
        if min(matrix) < _SMALLEST:
            raise InputError(
                f"an image needs at least {_SMALLEST} pixels on its shorter side, but a field of {field:.0f} mm has "
                f"{min(matrix)} pixels of {spacing:g} mm; set a smaller spacing or a larger field"
            )
        return cls(
            spacing=spacing,
            matrix=matrix,
            thickness=thickness,
            gap=gap,
            phases=population.phases,
            interval=float(np.round(np.clip(rng.normal(880, 130), 560, 1300))),
            **population.draw(rng, "noise", "shading", "blur", "gain"),
            field_strength=float(rng.choice([1.5, 3.0])),
            breath=population.breath,
            contrast=sample_contrast(rng, population),
            whole_slices=population.whole_slices,
        )
