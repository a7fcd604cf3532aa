# Sourced by tools/demo and tools/test: makes .venv beside the README if it is absent and installs planewise
# with the extra named in $1. A torch that is already there is kept; TORCH_INDEX_URL chooses another build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

constraints=tools/constraints.txt
torch_version=$(sed -n 's/^torch==//p' "$constraints")

make_environment() {
    local extra=$1
    if [ ! -x .venv/bin/python ]; then
        "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "planewise needs Python 3.10 or newer; $("${PYTHON:-python3}" --version) was found. Set PYTHON=/path/to/python3.11." >&2
            exit 1
        }
        "${PYTHON:-python3}" -m venv .venv
    fi
    local stamp=.venv/installed-$extra
    if [ "$stamp" -nt setup.cfg ] && [ "$stamp" -nt "$constraints" ]; then
        return
    fi
    echo "installing into .venv (about two minutes the first time)"
    if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
        .venv/bin/pip install --quiet --disable-pip-version-check "torch==$torch_version" \
            ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"}
    fi
    # torch keeps the build that is there: its own line of the constraints is left out
    .venv/bin/pip install --quiet --disable-pip-version-check \
        --constraint <(grep -v '^torch==' "$constraints") --editable ".[$extra]"
    .venv/bin/python -c 'import torch; print("torch", torch.__version__, "with CUDA" if torch.cuda.is_available() else "on the CPU")'
    touch "$stamp"
}
