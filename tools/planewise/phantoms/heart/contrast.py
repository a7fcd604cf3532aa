"""Brightness of each tissue on one scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.heart.population import Population


@dataclass(frozen=True)
class Contrast:
    """Signal of each tissue in a bright-blood cine, relative to blood.

    Fat is negative if it is in opposed phase to water at the scanner's echo time. Inside a voxel, signals are added with
    their signs, and the image shows the magnitude of the sum. Dark lines therefore appear between fat and water, as in
    real images.
    """

    blood: float
    right_blood: float
    right_strands: float
    """Share of muscle in the strands across the right ventricle's cavity at the apex; at the equator, the share is 0.3 times
    as large"""
    flow: float
    """Factor on the unevenness of blood"""
    strands: float
    """Factor on the depth of trabeculae"""
    sponge: tuple[float, float]
    """Thickness of the sponge of trabeculae in the left and in the right ventricle, mm"""
    sponge_blood: float
    """Share of blood in it"""
    myocardium: float
    fat: float
    muscle: float
    liver: float
    spleen: float
    lung: float
    marrow: float
    fluid: float
    kidney: float
    stomach: float

    @classmethod
    def sample(cls, rng: np.random.Generator, population: Population) -> Contrast:
        """The tissues of one scanner and patient."""
        fat = rng.uniform(*population.fat)
        liver = rng.uniform(*population.liver)
        opposed = rng.random() < population.opposed_phase
        # a separate generator, so that the draws for the other tissues stay the same
        right = rng.spawn(1)[0]
        return cls(
            blood=1.0,
            right_blood=right.uniform(*population.right_blood),
            right_strands=right.uniform(*population.right_strands),
            flow=right.uniform(*population.flow),
            strands=right.uniform(*population.strands),
            sponge=(right.uniform(*population.sponge), right.uniform(*population.sponge)),
            sponge_blood=right.uniform(*population.sponge_blood),
            myocardium=rng.uniform(*population.myocardium),
            fat=-fat if opposed else fat,
            muscle=rng.uniform(*population.muscle),
            liver=liver,
            spleen=liver * rng.uniform(0.8, 1.4),
            lung=rng.uniform(*population.lung),
            marrow=rng.uniform(0.12, 0.35),
            fluid=rng.uniform(0.9, 1.4),
            kidney=rng.uniform(0.4, 0.7),
            stomach=rng.uniform(*population.stomach),
        )
