"""Test retinas: a round field, a bright disc, and lesions whose number determines the grade."""

import numpy as np
from planewise.workshop.phantoms.retina import LESIONS, RETINAS, Retina

#: Without noise, shading or barely visible lesions.
CLEAR = RETINAS.with_values(
    side=160, noise=(0.0, 0.0), blur=(0.0, 0.0), colour=0.0, shading=(0.0, 0.0), strength=(1.0, 1.0), drusen=0.0
)


def dark(photograph: np.ndarray) -> int:
    """Pixels inside the field that are as dark as blood."""
    red, green, blue = photograph.astype(int).transpose(2, 0, 1)
    return int(((red > 60) & (red < 125) & (green < 35) & (blue < 35)).sum())


def test_lesions_make_the_grade():
    for grade in range(5):
        for number in range(20):
            lesions = Retina((0, 9, number), RETINAS, grade).lesions
            assert all(LESIONS[kind][grade][0] <= count <= LESIONS[kind][grade][1] for kind, count in lesions.items())
    # no lesions, microaneurysms only, other lesions, many haemorrhages, new vessels
    kinds = [{kind for kind, ranges in LESIONS.items() if ranges[grade][0]} for grade in range(5)]
    assert kinds[0] == set() and kinds[1] == {"microaneurysms"} and kinds[2] == kinds[3] == kinds[4] - {"new vessels"}
    assert LESIONS["haemorrhages"][3][0] > LESIONS["haemorrhages"][2][1]
    shown = [np.mean([dark(Retina((0, 9, n), CLEAR, grade).photograph()) for n in range(4)]) for grade in range(4)]
    assert shown[0] < shown[1] < shown[2] < shown[3], "more lesions are visible in higher grades"
