"""Populations of retinas: every number that determines their variation and difficulty."""

from __future__ import annotations

from dataclasses import dataclass

from planewise.phantoms.settings import Settings, setting


@dataclass(frozen=True)
class RetinaPopulation(Settings):
    """Spread of eyes, lesions and cameras. Unless stated otherwise, a single number is a standard deviation; from a pair of
    numbers, values are drawn uniformly. Lengths are shares of the radius of the round field."""

    side: int = setting(192, "pixels from left to right; the photograph is three quarters as high")
    shares: tuple[float, ...] = setting(
        (0.32, 0.17, 0.19, 0.16, 0.16), "share of eyes of each grade, 0 to 4 (APTOS: 0.49,0.10,0.27,0.05,0.08)"
    )
    size: tuple[float, float] = setting((0.9, 1.3), "size of lesions, as a factor on the usual size")
    strength: tuple[float, float] = setting((0.7, 1.0), "share of the retina's colour that a lesion covers")
    drusen: float = setting(0.3, "share of eyes with pale spots unrelated to retinopathy")
    turn: float = setting(5.0, "rotation of the eye in front of the camera, degrees")
    shift: float = setting(0.04, "displacement of the field from the middle of the photograph")
    zoom: tuple[float, float] = setting(
        (0.34, 0.45), "radius of the field, as a share of the width; above .375 the field is cut off"
    )
    colour: float = setting(0.1, "relative variation of each colour's brightness from eye to eye and camera to camera")
    shading: tuple[float, float] = setting((0.15, 0.45), "darkening of the field at its edge")
    blur: tuple[float, float] = setting((0.0, 0.7), "blur of the camera, pixels")
    noise: tuple[float, float] = setting((0.006, 0.02), "noise, as a share of white")


#: Eyes in APTOS' layout.
RETINAS = RetinaPopulation()
