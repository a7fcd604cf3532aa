"""Write what bundles share into their files: every part once, in tools/configs/parts, and whole in each config.

    python tools/configs/write.py          # all bundles
    python tools/configs/write.py --check  # changes nothing; names the files that differ, and fails if any does

A config says where a part stands and with what values; the lines between the two marks are this command's::

    # part dataloader {of: train}
    dataloader:
      dataset: '@train#dataset'
      ...
    # end dataloader

A part is a file of lines, ``tools/configs/parts/dataloader.yaml``; ``<of>`` in it is a value. It is indented as its mark is.
So every config stands alone, as the Model Zoo and MONAI Label want it.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
BUNDLES = HERE.parent.parent / "bundles"
#: Whole files that are the same in every bundle, and where each comes from.
WHOLE = {"configs/logging.conf": HERE / "parts/logging.conf", "LICENSE": HERE.parent.parent / "LICENSE"}

_PART = re.compile(
    r"^(?P<indent> *)# part (?P<name>\w+)(?P<values> \{[^\n]*\})?\n(?P<body>.*?)^(?P=indent)# end (?P=name)$",
    re.M | re.S,
)
_MARK = re.compile(r"^ *# (?:part|end) \w+", re.M)
_VALUE = re.compile(r"<(\w+)>")


def with_parts(text: str, parts: Path = HERE / "parts") -> str:
    """A config's text with each of its parts as the folder has it.

    Raises:
        ValueError: a mark without its other half, a part that the folder lacks, or values other than those in the part.
    """

    def written(found: re.Match[str]) -> str:
        indent, name, values = found["indent"], found["name"], found["values"] or ""
        try:
            given = yaml.safe_load(values) or {}
        except yaml.YAMLError:
            raise ValueError(
                f"the values of `# part {name}{values}` are not YAML; quote what holds colons or commas"
            ) from None
        body = textwrap.indent(filled(name, given, parts), indent)
        return f"{indent}# part {name}{values}\n{body}{indent}# end {name}"

    for found in _PART.finditer(text):
        if inside := _MARK.search(found["body"]):
            raise ValueError(
                f"`{inside[0].strip()}` stands inside the part {found['name']}: a mark has lost its other half"
            )
    if alone := _MARK.search(_PART.sub("", text)):
        raise ValueError(f"`{alone[0].strip()}` is a mark without its other half, or is indented unlike it")
    return _PART.sub(written, text)


def filled(name: str, values: dict[str, object], parts: Path = HERE / "parts") -> str:
    """The lines of a part with its values.

    Raises:
        ValueError: as `with_parts`.
    """
    file = parts / f"{name}.yaml"
    if not file.is_file():
        raise ValueError(
            f"there is no part {name}; those there are: {', '.join(sorted(p.stem for p in parts.glob('*.yaml')))}"
        )
    text = file.read_text()
    wanted = set(_VALUE.findall(text))
    if wanted != values.keys():
        raise ValueError(
            f"the part {name} takes {sorted(wanted) or 'no values'}, and was given {sorted(values) or 'none'}"
        )
    return _VALUE.sub(lambda found: str(values[found[1]]), text)


def shared_files(bundles: Path) -> dict[Path, str]:
    """Every file of the bundles that holds something shared, and its text as it is to be.

    Raises:
        ValueError: as `with_parts`, with the file's name before it.
    """
    wanted = {}
    for bundle in sorted(folder.parent for folder in bundles.glob("*/configs")):
        wanted |= {bundle / name: source.read_text() for name, source in WHOLE.items()}
        for config in sorted(bundle.glob("configs/*.yaml")):
            try:
                wanted[config] = with_parts(config.read_text())
            except ValueError as error:
                raise ValueError(f"{config.relative_to(bundles)}: {error}") from error
    return wanted


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a file differs")
    check = parser.parse_args(arguments).check
    try:
        wanted = shared_files(BUNDLES)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    changed = [file for file, text in wanted.items() if not file.is_file() or file.read_text() != text]
    for file in changed:
        if not check:
            file.write_text(wanted[file])
        print(f"{'differs' if check else 'written'}: {file.relative_to(BUNDLES.parent)}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
