"""Test the slices that are kept for pictures that compare methods."""

from __future__ import annotations

import numpy as np
from planewise.reports.segmentation_figures import (
    ShownSlice,
    hard_slices,
    method_comparison,
    read_shown_slices,
    write_shown_slices,
)


def test_the_first_and_the_last_labelled_slice_are_the_hard_ones():
    reference = np.zeros((4, 5, 7))
    reference[1, 2, 2] = reference[0, 0, 4] = 3
    reference[..., 5] = 1
    assert hard_slices(reference) == [2, 5]
    assert hard_slices(reference[..., 2:3]) == [0]
    assert hard_slices(np.zeros((4, 5, 7))) == []


def test_slices_of_several_sizes_come_back(tmp_path):
    slices = {
        "b": ShownSlice(np.array([[70000.0, -1.5]]), np.array([[1, 2]]), np.array([[0, 3]])),
        "a": ShownSlice(np.ones((2, 2)), np.zeros((2, 2)), np.eye(2)),
    }
    write_shown_slices(tmp_path / "s.npz", slices)
    found = read_shown_slices(tmp_path / "s.npz")
    assert list(found) == ["b", "a"]
    for caption, shown in slices.items():
        for kind in ("image", "reference", "prediction"):
            np.testing.assert_array_equal(getattr(found[caption], kind), getattr(shown, kind))
    assert read_shown_slices(tmp_path / "no.npz") == {}


def test_a_row_is_a_slice_and_a_column_a_method_with_the_reference_last():
    def shown(reference: int, prediction: int) -> ShownSlice:
        return ShownSlice(
            np.random.default_rng(0).random((3, 4)), np.full((3, 4), reference), np.full((3, 4), prediction)
        )

    slices = {
        "scratch": {"base": shown(1, 2), "mine alone": shown(1, 1), "apex": shown(3, 0)},
        "pretext": {"apex": shown(3, 3), "base": shown(1, 1)},
    }
    figure = method_comparison(slices, {1: "RV", 2: "myocardium", 3: "LV"})
    assert [axes.get_title() for axes in figure.axes] == ["scratch", "pretext", "reference", "", "", ""]
    rows = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert rows == [["base"], [], [], ["apex"], [], []]
    # the colours over the slices: red RV, green myocardium, blue LV, none for background
    main = [
        axes.images[1].get_array()[0, 0, :3].argmax() if axes.images[1].get_array().any() else None
        for axes in figure.axes
    ]
    assert main == [1, 0, 0, None, 2, 2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["RV", "myocardium", "LV"]


def test_a_slice_is_cut_to_the_square_of_all_that_is_outlined():
    image = np.arange(200 * 100.0).reshape(200, 100)

    def shown(*outlined):
        labels = np.zeros(image.shape, dtype=int)
        for place in outlined:
            labels[place] = 1
        return labels

    reference, methods = shown((100, 50)), {"near": shown((100, 51)), "far": shown((109, 50)), "none": shown()}
    edge, whole = {"none": shown()}, {"none": shown()}
    for name, labels, truth, corner, end in (
        # 10 pixels and a margin of 16 on either side make 42, along j too, where the outlines are at 50 and 51
        ("some", methods, reference, (84, 30), (126, 72)),
        # at the edge, the square is moved into the slice
        ("edge", edge, shown((199, 0), (150, 99)), (100, 0), (200, 100)),
        ("whole", whole, shown(), (0, 0), (200, 100)),
    ):
        slices = {method: {name: ShownSlice(image, truth, label)} for method, label in labels.items()}
        for axes in method_comparison(slices, {1: "RV"}).axes:
            pixels = np.asarray(axes.images[0].get_array()).T
            assert (pixels[0, 0], pixels[-1, -1]) == (image[corner], image[end[0] - 1, end[1] - 1]), name
            assert axes.images[1].get_array().shape[:2] == pixels.T.shape, name
