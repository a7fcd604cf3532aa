"""The body around the heart, which does not move: chest wall, lungs, spine, vessels, and organs under the diaphragm."""

from __future__ import annotations

import numpy as np

from planewise.workshop.phantoms.heart.heart import Heart
from planewise.workshop.phantoms.heart.population import Contrast
from planewise.workshop.phantoms.heart.surfaces import nodes
from planewise.workshop.phantoms.painting import Canvas, Coordinates, Texture, cylinder, ellipsoid, tube

#: Middle of the chest, front to back, mm.
MIDDLE = -9.0


class Body:
    """A chest and upper abdomen in patient space, RAS+, mm; the midline is x = 0 and the heart is near the origin.

    It has room for the heart and is wider for heavier patients, and its organs vary in size and position.
    """

    def __init__(self, rng: np.random.Generator, heart: Heart) -> None:
        patient = heart.patient
        size = (patient.body_surface / 1.9) ** 0.4 * np.exp(rng.normal(0, 0.03))
        self.scale = scale = float(np.clip(size, 0.85, 1.18))  # relative to an average patient
        # thickness of the fat under the skin in front, mm
        self.fat = float(np.clip(9 + 1.5 * (patient.body_mass_index - 22) + rng.normal(0, 4), 5, 42))
        # smooth displacement, so that organs are not ellipsoids: rows of wave vector (1/mm), phase and amplitude (mm); long
        # waves have large amplitudes, short waves small ones
        length = np.repeat([75.0, 50.0, 30.0], 3) * np.exp(rng.normal(0, 0.2, 9))
        waves = rng.standard_normal((9, 3))
        waves /= np.linalg.norm(waves, axis=1, keepdims=True) * length[:, None]
        amplitudes = 0.0007 * length**2 * np.exp(rng.normal(0, 0.3, 9))
        self.bend = np.concatenate([waves, rng.uniform(0, 2 * np.pi, (9, 1)), amplitudes[:, None]], axis=1)
        right = np.array([60, -8, 4]) + rng.normal(0, 6, 3)
        left = np.array([-66, -18, -20]) + rng.normal(0, 6, 3)
        self.domes = np.stack([right, left])  # tops of the diaphragm, rows of x, y, z
        # path of the aortic arch and the descending aorta, shape (M, 3)
        aorta = [[4, 6, 92], [-8, -14, 101], [-18, -36, 92], [-21, -45, 70], [-20, -44, 20], [-14, -34, -60]]
        self.aorta = np.array([*aorta, [-6, -26, -200]]) + np.array([*rng.normal(0, 3, 2), 0])
        self.aorta = self.aorta * np.array([scale, scale, 1])
        # half width and half depth inside the ribs, mm
        self.cage = float(120 * scale * np.exp(rng.normal(0, 0.03))), float(67 * scale * np.exp(rng.normal(0, 0.04)))
        self.stomach_centre = left + np.array([2, 8, -40]) + rng.normal(0, 7, 3)
        self.stomach_radii = np.array([36, 30, 30]) * np.exp(rng.normal(0, 0.18, 3))
        # height of the fluid, as a share of the stomach's depth; the rest is gas
        self.stomach_gas = rng.uniform(0.45, 1.3)
        self.spleen_centre = left + np.array([-27, -26, -40]) + rng.normal(0, 5, 3)
        self.spleen_radii = np.array([22, 32, 34]) * np.exp(rng.normal(0, 0.12, 3))
        self.liver_edge = float(rng.normal(36, 14))  # extent to the left of the midline under the heart, mm
        self.aorta_radius = float(rng.uniform(10, 13.5))
        # height of the fat pads in front of the chest, mm; small for men
        self.breast = float(rng.uniform(0, 1) * (24 if patient.sex == "F" else 5))
        # relative numbers of visible vessels in the lungs and in the liver; 1 is average
        self.vessels = float(rng.uniform(0.6, 1.5)), float(rng.uniform(0.6, 1.5))
        self.texture = Texture(rng)
        self._make_room(heart)

    def _make_room(self, heart: Heart) -> None:
        """Widen the chest until it keeps the heart away from the chest wall."""
        surface = [part[::3, ::3].ravel() for part in nodes(heart.surfaces(0.0).right_wall)]
        points = heart.to_patient(np.stack(surface, axis=-1)).astype(np.float32)
        x, y, _ = self._bent((points[:, 0], points[:, 1], points[:, 2]))
        for _ in range(12):
            # parts of the heart may touch the chest, as they do in life
            if np.percentile(self._cage_depth(x, y), 2) >= 2:
                break
            self.cage = self.cage[0] * 1.02, self.cage[1] * 1.03

    def paint(self, at: Coordinates, contrast: Contrast, edge: float) -> tuple[np.ndarray, np.ndarray]:
        """The signal of the body without the heart at points in patient space, relative to blood (fat may be negative), and
        their depth below the skin, mm, negative outside, which determines the coils' shading; ``edge`` is the pixel size."""
        at = self._bent(at)
        x, y, z = at
        grain = self.texture(x, y, z, 8)
        coarse = self.texture(x, y, z, 30, 1)
        canvas = Canvas(np.zeros_like(x), at, grain, coarse, contrast, edge)
        inner = self._cage_depth(x, y)
        depth = self._paint_wall(canvas, inner)
        canvas.paint(inner, self._lung(canvas))
        below = np.minimum(inner, self._diaphragm(x, y) - z)
        # a sheet of muscle separates the lung from the organs below
        canvas.paint(below, contrast.muscle)
        self._paint_abdomen(canvas, below - 2)
        self._paint_mediastinum(canvas)
        self._paint_spine(canvas)
        aorta = tube(at, self.aorta, self.aorta_radius)
        canvas.paint(aorta + 1.5, contrast.muscle)
        canvas.paint(aorta, contrast.blood * (1 + 0.05 * grain))
        return canvas.signal, depth

    def _bent(self, at: Coordinates) -> Coordinates:
        """Move the points by the body's smooth displacement."""
        moved = list(at)
        for row, wave in enumerate(self.bend.astype(np.float32)):
            kx, ky, kz, start, amplitude = wave
            moved[row % 3] = moved[row % 3] + amplitude * np.sin(at[0] * kx + at[1] * ky + at[2] * kz + start)
        return moved[0], moved[1], moved[2]

    def _cage_depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Depth inside the ribs, mm."""
        width, depth = (np.float32(1 / half) for half in self.cage)
        u, v = x * width, (y - np.float32(MIDDLE)) * depth
        u2, v2 = u * u, v * v
        # the sum of squares gives an ellipse; subtracting a part of their product makes it more like a rectangle, except far
        # outside, where the product would outweigh the sum
        square = np.float32(0.35) * (np.minimum(u2, v2) < np.float32(1 / 0.35))
        norm = np.sqrt(u2 + v2 - square * u2 * v2) + np.float32(1e-6)
        slope = np.hypot(u * (1 - square * v2) * width, v * (1 - square * u2) * depth) / norm
        return (1 - norm) / (slope + np.float32(1e-4))

    def _paint_wall(self, canvas: Canvas, inner: np.ndarray) -> np.ndarray:
        """Paint skin, fat, muscles and ribs; return the depth below the skin, mm."""
        grain, coarse, contrast = canvas.grain, canvas.coarse, canvas.contrast
        x, y, z = canvas.at
        front = np.clip((y - MIDDLE) * np.float32(1 / 60), -1, 1)
        # muscles of the shoulder and the back extend down the flanks
        flank = np.clip(np.abs(x) * np.float32(1 / self.cage[0]) - np.float32(0.45), 0, 1)
        wall = np.float32(13 * self.scale) + 2 * coarse + np.float32(26 * self.scale) * flank
        skin = np.float32(self.fat) * (0.8 + 0.3 * front)
        if self.breast > 3:
            bulge = np.exp(-(((np.abs(x) - 68) * np.float32(1 / 38)) ** 2) - ((z - 5) * np.float32(1 / 55)) ** 2)
            skin = skin + np.float32(self.breast) * bulge * np.clip(front, 0, 1)
        depth = inner + wall + skin
        self._paint_arms(canvas)
        # strands of tissue run through the fat
        strands = np.clip(1 - np.abs(coarse) * 9, 0, 1) * 0.25
        canvas.paint(depth, contrast.muscle)
        canvas.paint(depth - 2, contrast.fat * (1 + 0.05 * grain - strands))
        canvas.paint(inner + wall, contrast.muscle * (1 + 0.15 * grain))
        # fat between the muscles, along the wall
        layer = np.float32(1.1) - np.abs(inner + wall * (0.62 + 0.12 * coarse))
        canvas.paint(np.where(coarse > -0.3, layer, -canvas.edge), contrast.fat * 0.8)
        # ribs slope down towards the front; their cortex is dark, and their marrow is grey
        run = (z - np.float32(0.55) * y) * np.float32(1 / 26)
        rib = np.float32(7.5) - np.abs(run % 1 - np.float32(0.5)) * 26
        ring = np.minimum(np.float32(4.5) - np.abs(inner + 6), rib)
        canvas.paint(ring, 0.03)
        canvas.paint(ring - 1.6, contrast.marrow * (1 + 0.2 * grain))
        return depth

    def _paint_arms(self, canvas: Canvas) -> None:
        """Arms at either side of the chest, if the image reaches that far."""
        grain, contrast = canvas.grain, canvas.contrast
        x, y, z = canvas.at
        side = np.float32(self.cage[0] + 44 * self.scale + self.fat * 0.9 + 44)
        out = np.abs(x)
        if out.max() < side - 50:
            return
        arm = cylinder((out, y), (side + 0.06 * z, MIDDLE - 8), (38 * self.scale, 44 * self.scale))
        canvas.paint(arm, contrast.fat * (1 + 0.05 * grain))
        canvas.paint(arm - 9, contrast.muscle * (1 + 0.15 * grain))
        canvas.paint(arm - 26, contrast.marrow)

    def _diaphragm(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height (z) of the diaphragm at x and y, mm."""
        domes = (
            top - 44 * (((x - cx) * np.float32(1 / width)) ** 2 + ((y - cy) * np.float32(1 / 66)) ** 2)
            for (cx, cy, top), width in zip(self.domes.astype(np.float32), (72, 66), strict=True)
        )
        return np.maximum(*domes)

    def _branches(self, at: Coordinates, grain: float, field: int, width: np.ndarray | float) -> np.ndarray:
        """The share of vessel tissue at each point: vessels wind along the lines on which two random fields are zero."""
        first, second = self.texture(*at, grain, field), self.texture(*at, grain, field + 1)
        return np.clip((width - first * first - second * second) * np.float32(25), 0, 1)

    def _lung(self, canvas: Canvas) -> np.ndarray:
        """Signal of the lung with its vessels, which are thick near the hilum and vanish towards the ribs."""
        at, grain, contrast = canvas.at, canvas.grain, canvas.contrast
        x, y, _ = at
        hilum = np.exp(-(((np.abs(x) - 40) * np.float32(1 / 34)) ** 2) - ((y + 12) * np.float32(1 / 42)) ** 2)
        vessel = self._branches(at, 19, 2, np.float32(0.03) + np.float32(0.20 * self.vessels[0]) * hilum)
        # in a supine patient, the back of the lung is lowest and contains more blood
        ground = contrast.lung * (1.3 - y * np.float32(0.01) + 0.4 * grain)
        return ground + (np.float32(0.8 * contrast.blood) - ground) * vessel

    def _paint_abdomen(self, canvas: Canvas, below: np.ndarray) -> None:
        """Liver, stomach, spleen, kidneys and bowel, in fat."""
        at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
        x, y, z = at
        tissue = contrast.liver * (0.75 + 0.1 * grain + 0.12 * coarse)
        streaks = np.clip(1.2 * coarse + 1.3 * self.texture(x, y, z, 15, 9) - 1.4, 0, 1)
        canvas.paint(below, tissue + (contrast.fat * 0.8 - tissue) * streaks)

        kidneys = (ellipsoid(at, centre, (25, 25, 48)) for centre in ((-52, -50, -128), (54, -50, -138)))
        kidneys = np.maximum(*kidneys) + 1.5 * coarse
        canvas.paint(np.minimum(kidneys + 6, below), contrast.fat * 0.9)
        canvas.paint(np.minimum(kidneys, below), contrast.kidney * (1 + 0.15 * grain))

        spleen = ellipsoid(at, self.spleen_centre, self.spleen_radii) + 2.5 * coarse
        canvas.paint(np.minimum(spleen, below), contrast.spleen * (1 + 0.06 * grain))

        stomach = ellipsoid(at, self.stomach_centre, self.stomach_radii) + 3 * coarse
        canvas.paint(np.minimum(stomach + 2 + 2 * coarse, below + 1), contrast.fat * 0.8)
        canvas.paint(np.minimum(stomach, below), contrast.muscle * 1.4)
        # gas rises to the front when the patient lies supine
        level = np.float32(self.stomach_centre[1] + (2 * self.stomach_gas - 1) * self.stomach_radii[1])
        content = np.where(y > level, np.float32(0.02), contrast.stomach * (1 + 0.2 * grain + 0.25 * coarse))
        canvas.paint(np.minimum(stomach - 3.5, below), content)

        # the liver fills the space under the right dome; its left lobe reaches under the heart and is thinner further down
        lobe = (x + np.float32(self.liver_edge) + 0.30 * (y - 10) + 0.55 * (z + 45)) * np.float32(0.8)
        vessel = self._branches(at, 24, 4, 0.11 * self.vessels[1])
        tissue = contrast.liver * (1 + 0.06 * grain)
        lobe = np.minimum(lobe, below)
        canvas.paint(lobe + 1.5, contrast.fat * 0.6)
        canvas.paint(lobe, tissue + (np.float32(0.85 * contrast.blood) - tissue) * vessel)
        cava = cylinder((x, y), (25 + 0.03 * z, -20), (13, 10))
        canvas.paint(np.minimum(cava, below + 14), 0.85 * contrast.blood * (1 + 0.05 * grain))

    def _paint_mediastinum(self, canvas: Canvas) -> None:
        """Fat and soft tissue between the lungs, above the heart and around the great vessels."""
        grain, coarse, contrast = canvas.grain, canvas.coarse, canvas.contrast
        x, y, z = canvas.at
        column = cylinder((x, y), (-3, -8), (31 * self.scale, 52 * self.scale))
        above = (z - 14) * np.float32(0.7) + 4 * coarse
        # there is fat in front of the vessels, and soft tissue around the airways behind them
        share = np.clip((y + 14) * np.float32(1 / 14) + 0.7 * coarse, 0, 1)
        tissue = contrast.muscle * (1.5 + 0.2 * grain)
        tissue = tissue + (contrast.fat * 0.75 * (1 + 0.08 * grain) - tissue) * share
        canvas.paint(np.minimum(column, above), tissue)
        airway = cylinder((x, y), (2, -28), (8, 8))
        canvas.paint(np.minimum(airway, z - 70), 0.02)
        gullet = cylinder((x, y), (-6, -34 + 3 * coarse), (8, 6))
        canvas.paint(gullet, contrast.muscle * (1.6 + 0.3 * grain))
        sternum = cylinder((x, y), (0, MIDDLE + self.cage[1] + 3), (17, 6))
        canvas.paint(np.minimum(sternum + 1.5, z + 75), 0.04)
        canvas.paint(np.minimum(sternum, z + 75), contrast.marrow * 1.6 * (1 + 0.2 * grain))

    def _paint_spine(self, canvas: Canvas) -> None:
        """Paint vertebrae with discs, the canal with its fluid and cord, and the muscles of the back."""
        grain, coarse, contrast = canvas.grain, canvas.coarse, canvas.contrast
        x, y, z = canvas.at
        # the spine bends backwards in the chest and forwards below it
        behind = y - np.float32(-70 * self.scale) - (z * np.float32(1 / 95)) ** 2 * 14
        muscles = cylinder((np.abs(x), behind), (30, -14), (27, 17))
        streaks = np.clip(np.abs(coarse) * 4 - 6.5, 0, 1)
        tissue = contrast.muscle * (1 + 0.15 * grain)
        canvas.paint(muscles, tissue + (contrast.fat * 0.6 - tissue) * streaks)
        arch = np.maximum(cylinder((x, behind), (0, -8), (13, 14)), 5 - np.abs(behind + 3) - np.abs(x) * 0.1)
        canvas.paint(np.minimum(arch, 34 - np.abs(x)), contrast.marrow * (0.8 + 0.3 * grain))
        vertebra = cylinder((x, behind), (0, 25), (19, 16))
        disc = np.float32(3.5) - np.abs((z * np.float32(1 / 27)) % 1 - np.float32(0.5)) * 27
        bone = np.where(disc > 0, np.float32(0.5 * contrast.marrow), np.float32(contrast.marrow))
        canvas.paint(vertebra, 0.05)
        canvas.paint(vertebra - 1.2, bone * (1 + 0.2 * grain))
        canal = cylinder((x, behind), (0, 0), (9, 8))
        canvas.paint(canal + 1.5, 0.06)
        canvas.paint(canal, contrast.fluid)
        canvas.paint(canal - 4, contrast.muscle * 1.8)
