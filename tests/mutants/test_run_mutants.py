"""Test that the list of planted mistakes fits the code, and that the command reports each correctly."""

from __future__ import annotations

import subprocess

import pytest

from tests.mutants.run_mutants import LIST, ROOT, Mutant, are_enough, copy_tree, read_mutants, run_mutants, table

MUTANTS = read_mutants(LIST)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.wrong)
def test_an_entry_fits_the_code(mutant):
    assert mutant.problem(ROOT) is None
    assert mutant.new != mutant.old and mutant.tests and mutant.wrong


def test_no_entry_stands_twice():
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS) >= 100


@pytest.fixture
def project(tmp_path):
    """A project with one function, and one test that checks only positive numbers."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "proofs").mkdir()
    (tmp_path / "tools/sums.py").write_text("def size(x):\n    return abs(x) + 0\n")
    (tmp_path / "proofs/test_sums.py").write_text(
        "from sums import size\n\n\ndef test_size():\n    assert size(2) == 2\n"
    )
    (tmp_path / "proofs/test_broken.py").write_text("def test_broken():\n    assert False\n")
    (tmp_path / "proofs/ignored").write_text("")
    (tmp_path / ".gitignore").write_text("ignored\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def test_links_are_copied(project, tmp_path_factory):
    """The package finds its bundles by a link to their folder; without it, tests of bundles fail whatever the mistake."""
    (project / "tools/link").symlink_to("../proofs")
    kept = copy_tree(project, tmp_path_factory.mktemp("kept"))
    copy = copy_tree(kept, tmp_path_factory.mktemp("copy"))
    assert (copy / "tools/link").is_symlink() and (copy / "tools/link/test_sums.py").samefile(
        copy / "proofs/test_sums.py"
    )
    assert (copy_tree(ROOT, tmp_path_factory.mktemp("own")) / "tools/planewise/bundles/pretext_byol/configs").is_dir()


def test_each_result(project):
    tests = ("proofs/test_sums.py::test_size",)
    expected = {
        Mutant("tools/sums.py", "+ 0", "+ 1", tests, "one more"): "caught",
        Mutant("tools/sums.py", "abs(x)", "x", tests, "the sign stays"): "SURVIVED",
        Mutant("tools/sums.py", "return", "yield from", ("proofs",), "no number"): "tests fail without it",
        Mutant("tools/sums.py", "abs(y)", "y", tests, "text that no longer exists"): "old text not found",
        Mutant("tools/sums.py", "x", "y", tests, "text that stands twice"): "old text not found",
        Mutant("tools/gone.py", "x", "y", tests, "a file that no longer exists"): "old text not found",
        Mutant(
            "tools/sums.py", "+ 0", "", ("proofs/test_sums.py::test_gone",), "a test that is gone"
        ): "tests not found",
    }
    before = (project / "tools/sums.py").read_text()
    results = list(run_mutants(list(expected), project, jobs=2))
    assert {mutant: result for mutant, result, _ in results} == expected
    assert (project / "tools/sums.py").read_text() == before
    assert table(results).endswith("\n1 of 7 caught") and "SURVIVED" in table(results)


def test_nine_of_ten_are_enough_and_nothing_stale_is():
    assert are_enough(["caught"] * 9 + ["SURVIVED"]) and not are_enough(["caught"] * 8 + ["SURVIVED"])
    assert not are_enough(["caught"] * 99 + ["old text not found"])
    assert not are_enough(["caught"] * 99 + ["tests fail without it"])
