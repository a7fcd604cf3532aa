"""Test photographs and their tables: patients, grades, and the reasons for those left out."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams.photographs import COPY
from planewise.exams.refusals import EMPTY
from planewise.files.photographs import MIN_SIDE, NO_PHOTOGRAPH
from planewise.findings import finding
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.retina import RETINAS

UNGRADED, UNKNOWN = finding("input-lacks", kind="label", label="a grade"), finding("name-unusable", kind="unknown")
THUMBNAIL = finding("photo-unusable", kind="thumbnail", least=MIN_SIDE)
SECTIONS = ("training", "validation", "test")


def index(folder, **options):
    return index_folder(folder, anatomy="photograph", **options)


def items_of(result):
    return [item for section in SECTIONS for item in result.datalist[section]]


def grades_of(result):
    """Maps file names to grades, or to None."""
    return {item["image"].rsplit("/", 1)[1]: item.get("grade") for item in items_of(result)}


def phantoms(root, exams=2, seed=1):
    recipe = Recipe("aptos", seed=seed, population=RETINAS.with_values(side=96))
    list(write_exams(recipe, root, exams))
    return recipe


def photograph(path, value=0, mode="RGB", size=(80, 64), kind=None):
    """Write a photograph that differs from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind or ("PNG" if path.suffix == ".png" else "JPEG"))
    path.write_bytes(file.getvalue())


def test_aptos_photographs_have_the_tables_grades(tmp_path):
    recipe = phantoms(tmp_path, exams=30)
    result = index(tmp_path)
    items = items_of(result)
    assert len(items) == 30 == len({item["exam"] for item in items}) == len({item["patient"] for item in items})
    wanted = {f"{n:012d}.png": None if n % 3 == 0 else recipe.organ(n).grade for n in range(1, 31)}
    assert grades_of(result) == wanted
    assert result.datalist["planewise"] == {
        "version": 1, "anatomy": "photograph", "stack": "photograph", "views": [], "seed": 0,
    }  # fmt: skip
    # ungraded photographs are for learning only, and never for scores
    assert all("grade" in item for section in ("validation", "test") for item in result.datalist[section])
    assert sum("grade" not in item for item in result.datalist["training"]) == 10
    assert finding("sections-note", count=10, what="grade", kind="unlabelled") in result.warnings
    assert result.unmatched == [
        ("000000000003, 000000000006, 000000000009, 000000000012, 000000000015 and 5 more", UNGRADED)
    ]  # fmt: skip


def changed(mode=None, box=None):
    """Function that gives a file's content after a conversion or a cut."""

    def content(path):
        image, file = Image.open(path), io.BytesIO()
        image = image.convert(mode) if mode else image.crop(box)
        image.save(file, "PNG")
        return file.getvalue()

    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda path: b"This photograph is not available.\n", NO_PHOTOGRAPH),
        (lambda path: b"", EMPTY),
        (changed(box=(0, 0, 32, 32)), THUMBNAIL),
        (changed("L"), finding("photo-unusable", kind="colours", mode="L")),
        (changed("RGBA"), finding("photo-unusable", kind="colours", mode="RGBA")),
    ],
)
def test_what_is_no_photograph_is_counted_and_left_out(tmp_path, content, reason):
    phantoms(tmp_path / "bad")
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(content(path))
    with pytest.raises(InputError, match=f" x {re.escape(str(reason))}"):
        index(tmp_path)
    photograph(tmp_path / "good/a.png")
    result = index(tmp_path)
    assert len(items_of(result)) == 1 and result.skipped[reason][0] >= 2
    # both photographs are left out, so their rows of the table have no photograph
    assert ("000000000001, 000000000002", UNKNOWN) in result.unmatched


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04\x14", b'image,grade\n"a,1\n', b"image\na\n", b"image,grade\nz,1\n", b"image,label,x\na,1,\n"],
)
def test_a_table_that_gives_nothing_is_refused_if_a_person_named_it(content, tmp_path):
    photograph(tmp_path / "tree/a.png")
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.csv"):
        index(tmp_path / "tree", classes=tmp_path / "t.csv")
    (tmp_path / "t.csv").rename(tmp_path / "tree/t.csv")
    assert grades_of(index(tmp_path / "tree")) == {"a.png": None}


def test_the_same_file_twice_counts_once(tmp_path):
    recipe = phantoms(tmp_path)
    for path in list(tmp_path.rglob("*.png")):
        path.with_name(f"9{path.name[1:]}").write_bytes(path.read_bytes())
    result = index(tmp_path)
    assert result.skipped[COPY][0] == 2
    assert grades_of(result) == {f"{n:012d}.png": recipe.organ(n).grade for n in (1, 2)}
    other = (recipe.organ(1).grade + 1) % 5
    with (tmp_path / "train.csv").open("a") as table:
        table.write(f"900000000001,{other}\n")
    result = index(tmp_path)
    assert grades_of(result)["000000000001.png"] is None
    assert ("000000000001", finding("table-unusable", columns=["grade"], kind="rows")) in result.unmatched


def test_two_eyes_are_one_patients_and_stay_together(tmp_path):
    """The Kaggle set of 2015: trainLabels.csv with image and level, JPEG, and names that identify both eyes."""
    rows = ["image,level"]
    for number in range(20):
        for eye in range(2):
            name = f"{number}_{('left', 'right')[eye]}"
            photograph(tmp_path / f"train/{name}.jpeg", 2 * number + eye)
            rows.append(f"{name},{(number + eye) % 5}")
    (tmp_path / "trainLabels.csv").write_text("\n".join(rows))
    result = index(tmp_path, split=(0.5, 0.25, 0.25))
    patients = {}
    for section in SECTIONS:
        for item in result.datalist[section]:
            patients.setdefault(item["patient"], []).append(section)
    assert len(patients) == 20 and all(len(found) == 2 and len(set(found)) == 1 for found in patients.values())
    assert grades_of(result)["7_right.jpeg"] == 3
    assert "patients-by-file" not in [warning.code for warning in result.warnings]
