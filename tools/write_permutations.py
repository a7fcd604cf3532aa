"""Write pretext_jigsaw's permutations for puzzles of volumes, 1000 of 27! (Taleb 2020, appendix A), into the bundle.

    python tools/write_permutations.py          # bundles/pretext_jigsaw/configs/permutations_3d.json
    python tools/write_permutations.py --check  # changes nothing, and fails if the file differs

Algorithm 1 of Noroozi and Favaro 2016 (`planewise.pretexts.choose_permutations`) chooses them from a seed, which the file
records.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from planewise.pretexts import permutations_as_text

FILE = Path(__file__).resolve().parents[1] / "bundles/pretext_jigsaw/configs/permutations_3d.json"
PIECES, COUNT, SEED = 27, 1000, 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if the file differs")
    check = parser.parse_args(arguments).check
    wanted = permutations_as_text(PIECES, COUNT, SEED)
    same = FILE.is_file() and FILE.read_text() == wanted
    if not same:
        if not check:
            FILE.write_text(wanted)
        print(f"{'differs' if check else 'written'}: {FILE.name}")
    return int(check and not same)


if __name__ == "__main__":
    sys.exit(main())
