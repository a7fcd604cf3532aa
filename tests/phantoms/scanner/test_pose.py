"""Test poses and rotations against known numbers."""

import numpy as np
from planewise.phantoms.scanner.pose import ImagePose, rotation


def test_a_quarter_turn_about_z_takes_x_to_minus_y():
    turn = rotation(np.array([0, 0, 1.0]), np.pi / 2)
    np.testing.assert_allclose(turn, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_affine_of_a_coronal_image():
    # four columns 2 mm apart to the left, three rows 3 mm apart to the feet, 5 mm thick, centred on (10, 20, 30)
    pose = ImagePose(np.array([10.0, 20, 30]), np.array([-1.0, 0, 0]), np.array([0, 0, -1.0]))
    np.testing.assert_allclose(pose.normal, [0, -1, 0])
    wanted = [[-2, 0, 0, 13], [0, 0, -5, 20], [0, -3, 0, 33], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose.affine((2.0, 3.0), (4, 3), 5.0), wanted)
    np.testing.assert_allclose(pose.moved(np.array([1, 2, 3])).centre, [11, 22, 33])
