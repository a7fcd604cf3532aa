from __future__ import annotations

from planewise.own_exams.plan_exams import reasons_alike

FLAT, FAINT, FAR = (
    "the slices lie 0.0 deg from axial",
    "peak 0.42, at least 0.5 is needed",
    "residual 13.00, at most 12 is needed",
)


def test_what_all_views_lack_is_said_once():
    views = {
        "2ch": {"verdict": "no plane", "reasons": [FLAT, FAINT]},
        "4ch": {"verdict": "no plane", "reasons": [FLAT, FAR]},
    }
    alike, left = reasons_alike(views)
    assert alike == [FLAT]
    assert left["2ch"] == {"verdict": "no plane", "reasons": [FAINT]} and left["4ch"]["reasons"] == [FAR]
    assert views["2ch"]["reasons"] == [FLAT, FAINT], "what the page shows stays whole"


def test_a_plane_beside_no_plane_and_one_view_keep_their_reasons():
    assert reasons_alike({"2ch": {"reasons": []}, "4ch": {"reasons": [FAINT]}})[0] == []
    assert reasons_alike({"2ch": {"reasons": [FAINT]}}) == ([], {"2ch": {"reasons": [FAINT]}})
