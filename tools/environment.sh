# Sourced by tools/install, tools/demo and tools/test: makes .venv next to the README, or the folder named in $2, if it is
# absent, and installs planewise with the extra named in $1 (which may be empty).
# An installed torch is kept; TORCH_INDEX_URL chooses another build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

constraints=tools/constraints.txt
torch_version=$(sed -n 's/^torch==//p' "$constraints")

make_environment() {
    local extra=${1:-} folder=${2:-.venv}
    local stamp=$folder/installed-${extra:-planewise}
    if is_installed; then
        return
    fi
    # one process installs at a time; without flock (macOS), nothing waits
    mkdir -p "$folder"
    if command -v flock > /dev/null; then
        exec 9> "$folder/install.lock"
        flock --nonblock 9 || {
            echo "waiting for another process that installs into $folder" >&2
            flock 9 || true # a file system without locks
        }
        if is_installed; then
            exec 9>&-
            return
        fi
    fi
    install_environment
    if command -v flock > /dev/null; then
        exec 9>&-
    fi
}

# The two functions below use the variables of make_environment.

is_installed() {
    [ -x "$folder/bin/python" ] && [ "$stamp" -nt setup.cfg ] && [ "$stamp" -nt "$constraints" ]
}

install_environment() {
    if [ ! -x "$folder/bin/python" ]; then
        # Snakemake, which runs the studies, needs Python 3.11
        local minor=10
        [[ $extra != *study* ]] || minor=11
        "${PYTHON:-python3}" -c "import sys; sys.exit(sys.version_info < (3, $minor))" || {
            echo "This needs Python 3.$minor or newer; $("${PYTHON:-python3}" --version) was found. Set PYTHON=/path/to/python3.11." >&2
            exit 1
        }
        "${PYTHON:-python3}" -m venv "$folder"
    fi
    if [ -e "$stamp" ]; then
        echo "updating $folder (seconds if it is complete)" >&2
    else
        echo "installing into $folder (about two minutes)" >&2
    fi
    if ! "$folder/bin/python" -c 'import torch' 2>/dev/null; then
        "$folder/bin/pip" install --quiet --disable-pip-version-check "torch==$torch_version" \
            ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"}
    fi
    # the installed build of torch is kept, so its line of the constraints is left out
    "$folder/bin/pip" install --quiet --disable-pip-version-check \
        --constraint <(grep -v '^torch==' "$constraints") --editable ".${extra:+[$extra]}"
    "$folder/bin/python" -c 'import torch; print("torch", torch.__version__, "with CUDA" if torch.cuda.is_available() else "on the CPU")' >&2
    touch "$stamp"
}
