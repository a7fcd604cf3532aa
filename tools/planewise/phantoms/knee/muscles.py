"""Courses of the muscles, tendons, vessels and nerves around a knee, in the knee's frame, mm."""

from __future__ import annotations

import numpy as np

#: Path and radius at each corner.
MUSCLES = [
    # vastus medialis, vastus lateralis, vastus intermedius on the shaft, rectus femoris in front
    (np.array([[-31, 18, 45], [-33, 18, 75], [-30, 12, 130]]), (11.0, 23.2, 34.2)),
    (np.array([[33, 20, 58], [34, 14, 85], [34, 6, 130]]), (7.3, 20.7, 31.7)),
    (np.array([[2, 23, 76], [2, 26, 95], [2, 28, 130]]), (3.7, 11.0, 18.3)),
    # biceps femoris, semimembranosus, sartorius
    (np.array([[26, -34, 120], [32, -38, 60], [37, -31, 20], [37, -24, -8]]), (24.4, 17.1, 9.8, 3.7)),
    (np.array([[-16, -36, 120], [-20, -42, 60], [-26, -40, 25], [-29, -33, -4]]), (22.0, 18.3, 12.2, 4.9)),
    (np.array([[-44, -16, 120], [-43, -28, 50], [-41, -26, 10], [-32, -4, -35]]), (12.2, 11.0, 7.3, 3.7)),
    # gastrocnemius, medial and lateral head
    (np.array([[-21, -31, 34], [-22, -44, 5], [-20, -48, -40], [-18, -48, -110]]), (4.9, 13.4, 20.7, 24.4)),
    (np.array([[22, -30, 34], [21, -43, 5], [19, -47, -40], [17, -48, -110]]), (4.9, 12.2, 18.3, 22.0)),
    # popliteus, soleus, tibialis anterior and the peronei
    (np.array([[24, -28, -2], [4, -29, -30], [-12, -24, -60]]), (3.7, 9.8, 9.8)),
    (np.array([[28, -30, -25], [10, -34, -60], [4, -34, -110]]), (3.7, 14.6, 22.0)),
    (np.array([[23, 2, -26], [24, 3, -60], [24, 0, -110]]), (4.9, 15.9, 20.7)),
    (np.array([[37, -10, -30], [38, -12, -110]]), (4.9, 13.4)),
]

#: Path and radius at each corner.
TENDONS = [
    # semitendinosus, gracilis, iliotibial tract in two strands
    (np.array([[-20, -52, 70], [-31, -48, 20], [-33, -30, -20]]), (3.2, 2.6, 2.2)),
    (np.array([[-38, -40, 70], [-40, -36, 20], [-36, -16, -25]]), (2.6, 2.0, 1.8)),
    (np.array([[46, 0, 90], [43, 6, 30], [33, 17, -14]]), (1.8, 1.8, 2.0)),
    (np.array([[47, -6, 90], [44, 1, 30], [34, 13, -14]]), (1.8, 1.8, 2.0)),
]

#: Each vessel or nerve: its path, its radius at each corner of the path, and its brightness. Fast blood is dark; slow
#: blood in veins is bright, and so are nerves.
VESSELS = [
    (np.array([[-4, -36, 120], [2, -38, 40], [3, -38, 0], [3, -38, -60]]), (4.2, 3.8, 3.8, 3.4), 0.2),
    (np.array([[-2, -44, 120], [6, -45, 40], [6, -45, 0], [6, -43, -60]]), (4.6, 4.4, 4.2, 3.8), 0.95),
    (np.array([[8, -56, 120], [10, -53, 40], [8, -51, 0], [6, -45, -60]]), (4.0, 3.2, 3.0, 2.8), 0.7),
    # small saphenous vein in the fat, a genicular vessel
    (np.array([[2, -60, 60], [4, -62, 0], [3, -66, -80]]), (1.8, 1.8, 1.8), 1.2),
    (np.array([[3, -38, 30], [20, -38, 37], [36, -20, 37]]), (1.6, 1.6, 1.4), 1.3),
]
