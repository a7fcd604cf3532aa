#!/usr/bin/env bash
# What the first image costs that ITK's Python package reads.
# Guess: itk loads its modules lazily, so reading one small image loads the module for files and takes some hundredths of a
#   second and a few MB more than the second read.
# Seen (itk 5.4.7, Python 3.11): the first itk.imread, of a MetaImage of 16 x 16 pixels of 16 bits, takes 2.1 s of processor
#   time, 426 modules and 257 MB; the second takes 1 ms and nothing. Naming the pixel's type (itk.imread(file, itk.US)) changes
#   nothing. SimpleITK 2.5.6 reads the same file first in 1 ms and 3 MB.
# Why it matters: a command that reads one exam pays this each time, as much as for the import of PyTorch, and each process that
#   loads data pays it and its memory again. A plain slice is better read by pydicom, whose pixels are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check itk==5.4.7 SimpleITK==2.5.6 numpy==2.4.6
cd "$work"
cat > image.mha <<'MHA'
ObjectType = Image
NDims = 2
DimSize = 16 16
ElementType = MET_USHORT
ElementDataFile = LOCAL
MHA
head -c 512 /dev/zero >> image.mha
venv/bin/python - <<'PYTHON'
import json
import subprocess
import sys

READ = """
import json, resource, sys, time
import {package} as package
def used(): return time.process_time(), len(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
costs = [used()]
for _ in range(2):
    package.{call}
    costs.append(used())
print(json.dumps([[after - before for before, after in zip(*pair)] for pair in zip(costs, costs[1:])]))
"""


def first_and_second(package, call):
    """Processor time (s), modules and peak memory (MB) of the first and of the second read, in a new process."""
    code = READ.format(package=package, call=call)
    first, second = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    for name, (seconds, modules, memory) in (("first", first), ("second", second)):
        print(f"{package}.{call}, {name}: {seconds:.3f} s, {modules} modules, {memory:.0f} MB")
    return first, second


for call in ('imread("image.mha")', 'imread("image.mha", package.US)'):
    first, second = first_and_second("itk", call)
    assert first[1] > 300 and first[2] > 200 and first[0] > 100 * second[0], "the first read has become cheap"
    assert second[1] == 0
first, _ = first_and_second("SimpleITK", 'ReadImage("image.mha")')
assert first[0] < 0.3 and first[2] < 50
PYTHON
