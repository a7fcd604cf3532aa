"""Test that a single record defines everything that is specific to an anatomy."""

import re
from dataclasses import replace

import pytest
from planewise.commands import app
from planewise.errors import InputError
from planewise.exams.anatomies import ANATOMIES, HEART, KNEE, anatomy_of_stack, choose_anatomy, prepare
from planewise.exams.anatomy import Anatomy, Look, Words
from planewise.exams.overrules import read_overrules
from planewise.exams.recognition import Recognition
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.exams.hearts import make_stack


def test_names_and_stacks_lead_to_one_record_each():
    assert {name: anatomy.name for name, anatomy in ANATOMIES.items()} == {name: name for name in ANATOMIES}
    assert [anatomy_of_stack(anatomy.stack) for anatomy in ANATOMIES.values()] == list(ANATOMIES.values())
    assert anatomy_of_stack("spine") is None


def test_targets_are_views_and_the_stack_is_none_of_them():
    for anatomy in ANATOMIES.values():
        assert set(anatomy.targets) <= set(anatomy.views)
        assert anatomy.stack not in anatomy.views
        assert set(anatomy.look.more_views) <= set(anatomy.views) - set(anatomy.targets)


def test_the_page_of_datalists_has_a_row_for_each_anatomy():
    page = (ROOT / "tools/docs/datalist.md").read_text().split("| `--anatomy` |")[1].split("\n\n")[0]
    rows = [[re.findall("`(.*?)`", cell) for cell in line.split("|")[1:5]] for line in page.splitlines()[2:]]
    assert {tuple(name): (stack, set(targets), set(more)) for name, stack, targets, more in rows} == {
        (name,): ([anatomy.stack], set(anatomy.targets), set(anatomy.views) - set(anatomy.targets))
        for name, anatomy in ANATOMIES.items()
    }


def test_the_ends_of_a_stack_are_named_in_the_order_of_its_axis():
    assert HEART.look.locations == "0 base, 1 apex"
    assert KNEE.look.locations == "0 right, 1 left"
    assert Look().locations == "0 first, 1 last"


def test_heatmaps_are_drawn_as_wide_as_the_paper_computes_them():
    """Six pixels of 224: 1.26 mm for a heart, and half a millimetre for a knee."""
    assert HEART.look.sigma == pytest.approx(6 * 1.26, abs=0.05)
    assert KNEE.look.sigma == pytest.approx(6 * 0.5, abs=0.05)


def test_a_contrast_is_handed_to_the_recognition():
    stacks = [make_stack([[step, 0, 0] for step in range(0, 40, 4)], [1.0, 0, 0], text="sag pd")]
    assert choose_anatomy("knee").recognise(stacks).stack is None
    assert choose_anatomy("knee", "any").recognise(stacks).stack == 0
    with pytest.raises(InputError, match="anatomy 'hip' is not known; choose one of cardiac, knee"):
        choose_anatomy("hip")


def test_only_a_moving_organ_keeps_its_phases():
    stacks = [make_stack([[0, 0, 0]], [1.0, 0, 0], phases=3)]
    assert prepare(stacks, HEART)[0].phase_counts == (3, 3)
    assert prepare(stacks, KNEE)[0].phase_counts == (1, 1)


def test_an_anatomy_without_targets_needs_no_more_than_its_record(tmp_path, monkeypatch):
    def largest(stacks, chosen=None):
        best = max(range(len(stacks)), key=lambda index: len(stacks[index].slices)) if chosen is None else chosen
        return Recognition(stack=best, candidate=best, confidence=1.0, axis=stacks[best].normal)

    words = Words(stack="stack", views="", location="0 at the first slice, 1 at the last", exam="slices")
    bare = Anatomy("bare", "bare", "bare", (), (), largest, lambda stack: stack.normal, "", False, words)
    monkeypatch.setitem(ANATOMIES, "bare", bare)
    assert choose_anatomy("bare").recognise([make_stack([[0, 0, 0]], [0, 0, 1.0])]).stack == 0
    assert anatomy_of_stack("bare").look == Look()
    path = tmp_path / "views.yml"
    path.write_text("case7: SOMETHING\n")
    with pytest.raises(InputError, match="lines like `bare: FOLDER`"):
        read_overrules(path, bare)
    assert replace(bare, targets=("2ch",)).targets == ("2ch",)


def test_the_help_names_every_anatomy():
    text = CliRunner().invoke(app, ["index", "--help"]).output
    assert all(name in text for name in ANATOMIES)
