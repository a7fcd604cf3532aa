"""Test that a single record defines everything that is specific to an anatomy."""

import re

from planewise.exams.anatomies import ANATOMIES, anatomy_of_stack

from tests.conftest import ROOT


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
