"""Test that every argument is used, and in the right place; otherwise a default applies or two numbers are swapped unnoticed.

The tests read the code of `tools`, so they also cover functions, classes and constants without tests of their own.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Arguments that a function has only to fit a signature that others define: Ignite, PyTorch, MONAI's readers, `lru_cache`
#: with a file's time, and tables of functions, some of which do not use every argument.
GIVEN_BY_OTHERS = {
    "engine", "ctx", "types", "frame", "vr", "length", "img", "worker", "modified", "home", "version", "config",
}  # fmt: skip
OF_A_KIND = {
    ("scratch", "method"), ("scratch", "trained"), ("_salt", "path"), ("on_page_markdown", "files"),
    ("on_page_content", "files"), ("_move", "entry"), ("_write", "output"), ("_draw", "probabilities"),
    ("write_listing", "recipe"),
}  # fmt: skip
#: Exceptions (function, called function, argument): the function intentionally does not pass its argument on to an
#: argument of the same name, mostly because that argument has another meaning.
KEPT = {
    ("__init__", "find_stacks", "phases"), ("__init__", "LoadStackd", "label_keys"),
    ("__init__", "LoadPhotographd", "allow_missing_keys"), ("_case_figure", "LoadVolumed", "channels"),
    ("_phases", "slice_items", "phases"), ("_read", "FoundVolumes", "channels"), ("index", "index", "labels"),
    ("index", "index", "output"), ("index_folder", "IndexResult", "division"), ("load_fold", "load_datalist", "required"),
    ("plane_from_lines", "fit_plane", "weights"), ("write_places", "index_folder", "seed"),
    ("_refuse_another_run", "InputError", "about"), ("record_of_release", "InputError", "about"),
}  # fmt: skip
#: Attributes that a library reads.
READ_BY_OTHERS = {"filenames", "train_handlers"}

Code = dict[Path, ast.Module]


@cache
def code() -> Code:
    return {file: ast.parse(file.read_text()) for file in sorted((ROOT / "tools").rglob("*.py"))}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def arguments(function: ast.FunctionDef) -> list[str]:
    """Names of arguments, except ``self`` and those marked as unused."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in given if each.arg not in ("self", "cls") and not each.arg.startswith("_")]


def names(*parts: ast.AST) -> set[str]:
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


def unused(trees: Code) -> list[str]:
    """Arguments that their function does not use. If several functions have the same name, like those of the writer
    classes, only the arguments that none of them uses are listed.
    """
    found: dict[tuple[str, str], list[str]] = {}
    use: set[tuple[str, str]] = set()
    for file, tree in trees.items():
        for function in functions(tree):
            body = [
                one for one in function.body if not isinstance(one, ast.Expr) or not isinstance(one.value, ast.Constant)
            ]
            declared = any(
                "overload" in ast.unparse(one) or "abstract" in ast.unparse(one) for one in function.decorator_list
            )
            if declared or not body or all(isinstance(one, ast.Raise) for one in body):
                continue
            for name in arguments(function):
                if name in names(*body):
                    use.add((function.name, name))
                elif name not in GIVEN_BY_OTHERS and (function.name, name) not in OF_A_KIND:
                    found.setdefault((function.name, name), []).append(
                        f"{file.name}: {function.name} does not use {name}"
                    )
    return [said for key, each in found.items() if key not in use for said in each]


def unread(trees: Code) -> list[str]:
    """Attributes that a class sets and nothing reads: neither its own code, nor another object's attribute of this name, nor
    a text with the name.
    """
    texts, read = set(), Counter()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read[node.attr] += 1
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    found = []
    for file, tree in trees.items():
        for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            own: dict[type, set[str]] = {ast.Store: set(), ast.Load: set(), ast.Del: set()}
            for node in ast.walk(owner):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                    own[type(node.ctx)].add(node.attr)
            for name in sorted(own[ast.Store] - own[ast.Load] - READ_BY_OTHERS):
                elsewhere = read[name] if not name.startswith("_") else 0
                if not elsewhere and name not in texts:
                    found.append(f"{file.name}: nothing reads {owner.name}.{name}")
    return found


def signatures(trees: Code) -> dict[str, list[str]]:
    """The arguments of each function and class of ours whose name is unique."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
                fields = [one.target.id for one in node.body
                          if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]  # fmt: skip
                found[node.name].append(arguments(made[0]) if made else fields)
            elif isinstance(node, ast.FunctionDef):
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                found[node.name].append([one.arg for one in every if one.arg not in ("self", "cls")])
    return {name: each[0] for name, each in found.items() if len(each) == 1}


def called(value: ast.AST) -> str | None:
    """The name of a plain argument: ``x``, ``item.x`` and ``item["x"]`` are all x."""
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return value.slice.value if isinstance(value.slice.value, str) else None
    if isinstance(getattr(value, "value", None), ast.Call):
        return None
    name = getattr(value, "id", None) or getattr(value, "attr", None)
    return name.lstrip("_") if name else None


@cache
def foreign(tree: ast.Module) -> set[str]:
    """Names that a file imports from packages other than ours."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and not (getattr(node, "module", None) or node.names[0].name).startswith(("planewise", "tools", "tests"))
        for alias in node.names
    }


def own_calls(
    tree: ast.Module, known: dict[str, list[str]], within: ast.AST
) -> Iterator[tuple[str, list[str], ast.Call]]:
    """Calls of functions and classes of ours within a part of a file: name, its arguments, and the call."""
    for call in (node for node in ast.walk(within) if isinstance(node, ast.Call)):
        function = call.func
        name = getattr(function, "id", None) or getattr(function, "attr", "")
        if name in known and not {name, called(getattr(function, "value", function))} & foreign(tree):
            yield name, known[name], call


def forgotten(trees: Code) -> list[str]:
    """Arguments that a function has but does not pass on to a function that also has them, so that a default applies
    there.
    """
    known, found = signatures(trees), []
    for file, tree in trees.items():
        for function in functions(tree):
            own = {*arguments(function)}
            for name, places, call in own_calls(tree, known, function) if own else ():
                if any(isinstance(one, ast.Starred) for one in call.args) or any(
                    not word.arg for word in call.keywords
                ):
                    continue
                given = {*places[: len(call.args)], *(word.arg for word in call.keywords)}
                # other libraries have a function `square`, and a loop calls each `check`
                found += [
                    f"{file.name}:{call.lineno}: {function.name} does not pass {place} on to {name}"
                    for place in places
                    if place in own - given
                    and name not in ("square", "check")
                    and (function.name, name, place) not in KEPT
                ]
    return found


def swapped(trees: Code) -> list[str]:
    """Arguments that are named like another parameter of the same call, although that parameter gets another value."""
    known, found = signatures(trees), []
    for file, tree in trees.items():
        for name, places, call in own_calls(tree, known, tree):
            words = {word.arg: called(word.value) for word in call.keywords}
            if any(isinstance(one, ast.Starred) for one in call.args) or not words.keys() <= set(places):
                continue  # the positions are unknown, or the call is of another function with this name
            given = words | {place: called(value) for place, value in zip(places, call.args, strict=False)}
            found += [
                f"{file.name}:{call.lineno}: {name} is given {value} as its {place}"
                for place, value in given.items()
                if value
                and value != place
                and value in places
                # a name may be part of the other name: origin and reference_origin
                and value not in (given.get(value) or "")
            ]
    return found


def constants(trees: Code) -> list[str]:
    """Constants of a module that nothing uses."""
    used = Counter()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(
                node.value, str
            ):  # texts may be names in getattr, or names that a room exports
                used[node.value] += 1
    return [
        f"{file.name}: nothing uses {target.id}"
        for file, tree in trees.items()
        for node in tree.body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Name) and target.id.strip("_").isupper() and not used[target.id]
    ]


def test_every_argument_is_used():
    assert unused(code()) == []


def test_what_an_object_keeps_is_read():
    assert unread(code()) == []


def test_arguments_stand_in_their_own_place():
    assert swapped(code()) == []


def test_what_another_function_needs_is_passed_on():
    assert forgotten(code()) == []


def test_every_constant_is_used():
    assert constants(code()) == []


SOUND = """
from planewise.metrics import scores

MOST = 3

class Report:
    def __init__(self, folder, examples):
        self.folder = folder
        self.examples = examples

    def write(self, predicted, reference):
        return table(predicted, reference, most=MOST), self.folder, self.examples

def table(predicted, reference, most):
    return predicted - reference + most
"""


@pytest.mark.parametrize(
    ("check", "old", "new", "said"),
    [
        (unused, "predicted - reference", "predicted", "table does not use reference"),
        (unread, "self.folder, self.examples\n", "self.folder, 6\n", "nothing reads Report.examples"),
        (
            swapped,
            "predicted, reference, most=",
            "reference, predicted, most=",
            "table is given reference as its predicted",
        ),
        (
            swapped,
            "predicted, reference, most=",
            "self.reference, item['predicted'], most=",
            "given reference as its pred",
        ),
        (
            swapped,
            "predicted, reference, most=MOST",
            "predicted=most, reference=1, most=2",
            "given most as its predicted",
        ),
        (constants, "most=MOST", "most=3", "nothing uses MOST"),
        (
            forgotten,
            "predicted, reference, most=MOST",
            "predicted, most=MOST",
            "write does not pass reference on to table",
        ),
    ],
)
def test_a_slip_is_seen(check, old, new, said):
    assert check({Path("sound.py"): ast.parse(SOUND)}) == []
    assert old in SOUND
    found = check({Path("slip.py"): ast.parse(SOUND.replace(old, new))})
    assert found and said in found[0]
