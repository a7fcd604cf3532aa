"""Test that a single record defines everything that is specific to an anatomy."""

import re

from planewise.exams.anatomies import ANATOMIES, Anatomy, Look, Words, anatomy_of_stack, choose_anatomy
from planewise.exams.exam import Recognition

from tests.conftest import ROOT
from tests.exams.hearts import make_stack


def test_names_and_stacks_lead_to_one_record_each():
    assert {name: anatomy.name for name, anatomy in ANATOMIES.items()} == {name: name for name in ANATOMIES}
    assert [anatomy_of_stack(anatomy.stack) for anatomy in ANATOMIES.values()] == list(ANATOMIES.values())
    assert anatomy_of_stack("spine") is None


def test_the_page_of_datalists_has_a_row_for_each_anatomy():
    page = (ROOT / "tools/docs/datalist.md").read_text().split("| `--anatomy` |")[1].split("\n\n")[0]
    rows = [[re.findall("`(.*?)`", cell) for cell in line.split("|")[1:5]] for line in page.splitlines()[2:]]
    assert {tuple(name): (stack, set(targets), set(more)) for name, stack, targets, more in rows} == {
        (name,): ([anatomy.stack], set(anatomy.targets), set(anatomy.views) - set(anatomy.targets))
        for name, anatomy in ANATOMIES.items()
    }


def test_an_anatomy_without_targets_needs_no_more_than_its_record(monkeypatch):
    def largest(stacks):
        best = max(range(len(stacks)), key=lambda index: len(stacks[index].slices))
        return Recognition(stack=best, candidate=best, confidence=1.0, axis=stacks[best].normal)

    words = Words(stack="stack", views="", location="0 at the first slice, 1 at the last", exam="slices")
    bare = Anatomy("bare", "bare", "bare", (), (), largest, lambda stack: stack.normal, "", False, words)
    monkeypatch.setitem(ANATOMIES, "bare", bare)
    assert choose_anatomy("bare").found([make_stack([[0, 0, 0]], [0, 0, 1.0])]).stack == 0
    assert anatomy_of_stack("bare").look == Look()
