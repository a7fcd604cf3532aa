"""Test the page to print: everything is on it, and nothing overlaps or leaves it."""

import dataclasses
from itertools import combinations

import numpy as np
import planewise
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.summary_sheet import summary_sheet

from tests.reports.test_exam_page import SIZE, ball, shown, stack_affines  # noqa: F401  (a fixture)

VOLUMES = ["structure", "end-diastole", "end-systole", "stroke volume", "ejection fraction", "mass"]
WORDY = ["view", "verdict", "angle to the acquired plane", "agreement", "error bounds and remarks"]
REASON = (
    "slice 2 of 6 has 45 ml at end-diastole and none at end-systole: see whether the heart has moved out of this slice"
)
NOTES = ["Error bounds: 90 % of the planes are closer.", "Masks by a bundle 0.1.0."]


def boxes(figure):
    """The place of each text and picture, inches from the lower left corner; numbers lie inside their pictures."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    inches = figure.dpi_scale_trans.inverted()
    texts = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    pictures = [(f"picture {number}", axes.get_window_extent()) for number, axes in enumerate(figure.axes)]
    for axes in figure.axes:
        (number,) = axes.texts
        box, around = number.get_window_extent(renderer), axes.get_window_extent()
        assert around.containsx(box.x1) and around.containsy(box.y0)
    return [(name, box.transformed(inches)) for name, box in [*texts, *pictures]]


@pytest.mark.parametrize("flags", [0, 25, 90])
@pytest.mark.parametrize("kind", ["plan", "masks", "many slices", "long names"])
def test_nothing_overlaps_or_leaves_the_page(shown, flags, kind):  # noqa: F811
    rows = [["2ch", "plane", "1.7 deg", "0.82", REASON], ["4ch", f"no plane; {REASON}", "-", "-", REASON]]
    exam = dataclasses.replace(shown, tables=[("Planned", WORDY, rows)], flags=[REASON] * flags, notes=NOTES)
    if kind != "plan":
        rows = [["LV", "142 ml (*) (!)", "33 ml (!)", "109 ml (!)", "77 %", "-"]] * 3
        tables = [("5 phases", VOLUMES, rows), ("per m2", VOLUMES, rows)]
        exam = dataclasses.replace(exam, plan=None, acquired={}, tables=tables, tabled=(0, 2))
    if kind == "many slices":
        image = np.repeat(exam.image[..., :1], 40, axis=-1)
        affines, labels = stack_affines()[:1].repeat(40, 1, 1), np.ones((SIZE, SIZE, 40), np.uint8)
        phases = [("ED", image, labels), ("between", image, labels), ("ES", image, labels)]
        exam = dataclasses.replace(exam, image=image, affines=affines, labels=labels, phases=phases)
    if kind == "long names":
        names = {number: "structure with a long name " * number for number in range(1, 4)}
        rows = [[name, *("1234 ml/m2 (*) (!)" for _ in VOLUMES[1:])] for name in names.values()]
        exam = dataclasses.replace(exam, name="ANNA_$x$_" * 12, structures=names, tables=[("5", VOLUMES, rows)])
    placed = boxes(summary_sheet(exam))
    page = Bbox.from_bounds(0.5, 0.5, 8.27 - 1, 11.69 - 1)
    for name, box in placed:
        assert page.containsx(box.x0) and page.containsx(box.x1), name
        assert page.containsy(box.y0) and page.containsy(box.y1), name
    for (name, box), (other, beside) in combinations(placed, 2):
        assert Bbox.intersection(box, beside) is None, f"{name!r} overlaps {other!r}"
    words = " ".join(name for name, _ in placed)
    # the last flag, a note, or how much is missing
    assert ("more lines: see index.html" in words) == (flags == 90)
    assert "Masks by a bundle" in words


def test_what_is_on_it(shown):  # noqa: F811
    rows = [["LV", "142 ml (!)", "33 ml (*)", "109 ml", "77 %", "-"]]
    exam = dataclasses.replace(
        shown, plan=None, tables=[("3 phases", VOLUMES, rows)], flags=["few phases"], notes=NOTES, tabled=(0, 2)
    )
    figure = summary_sheet(exam)
    words = {text.get_text(): text for text in figure.texts}
    assert {"Exam </script>x", RESEARCH_ONLY, f"planewise {planewise.__version__}. {NOTES[1]}"} <= words.keys()
    assert {
        *rows[0],
        "3 phases",
        "(!) few phases",
        "LV",
        exam.phases[0][0],
        exam.phases[2][0],
        NOTES[0],
    } <= words.keys()
    red = [name for name, text in words.items() if text.get_color() == "#b00020"]
    assert red == ["142 ml (!)", "(!) few phases"]
    # both phases, each slice under its own mask
    shown_masks = [axes.get_images()[1].get_array()[..., 3] > 0 for axes in figure.axes]
    assert [int(mask.sum()) for mask in shown_masks] == [
        np.count_nonzero(ball(20.0 - number)[..., place]) for number in (0, 2) for place in range(6)
    ]


def test_planes_have_their_lines(shown):  # noqa: F811
    figure = summary_sheet(shown)
    styles = [line.get_linestyle() for line in figure.axes[0].get_lines()]
    assert styles == ["-", "-", "--"] and len(figure.axes[0].get_images()) == 1
    # the 2ch plane lies at x = 90 mm, and the acquired one at 94 mm; pixels are 2 mm wide
    ((x, *_), *_, (other, *_)) = (line.get_xdata() for line in figure.axes[0].get_lines())
    assert other - x == pytest.approx(2)
    assert {"2ch planned", "4ch planned", "2ch acquired"} <= {text.get_text() for text in figure.texts}
