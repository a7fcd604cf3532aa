import numpy as np
from planewise.metrics import inside_share


def test_the_share_of_a_map_inside_a_mask():
    saliency = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert inside_share(saliency, np.array([[True, False], [False, True]])) == 0.5
    assert inside_share(saliency, np.zeros((2, 2), bool)) == 0 and inside_share(saliency, np.ones((2, 2), bool)) == 1
    assert inside_share(np.zeros((2, 2)), np.ones((2, 2), bool)) is None
