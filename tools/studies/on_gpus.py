"""Run a command on GPUs of this machine that no other such command uses.

    python tools/studies/on_gpus.py 2 -- python train.py

The command sees two GPUs, as cuda:0 and cuda:1. Locks show which GPUs are free. A lock ends with its command, even if the
command is killed, so that it never blocks other jobs. If only as many GPUs are visible as requested (one in the machine, or
those of a SLURM job), there is no choice, and nothing is locked.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import tempfile
import time
from pathlib import Path

#: seconds between two searches for free GPUs
PAUSE = 2.0


def main(arguments: list[str]) -> None:
    if len(arguments) < 3 or not arguments[0].isdigit() or arguments[1] != "--":
        sys.exit(__doc__)
    count, command = int(arguments[0]), arguments[2:]
    devices = visible()
    if count > len(devices):
        sys.exit(
            f"planewise: the job needs {count} GPUs, but {len(devices)} are visible here; give fewer `processes` in the "
            "study, or `--config device=cpu`"
        )
    if count < len(devices):
        devices = take(devices, count)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    os.execvp(command[0], command)


def visible() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def take(devices: list[str], count: int) -> list[str]:
    """Lock this number of devices for this process and for the command that replaces it; wait until they are free."""
    # devices of another SLURM job may have the same numbers
    folder = Path(tempfile.gettempdir()) / f"planewise-gpus-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'local')}"
    folder.mkdir(mode=0o700, exist_ok=True)
    waited = False
    while True:
        held: dict[str, int] = {}
        for device in devices:
            lock = os.open(folder / re.sub(r"\W", "_", device), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            held[device] = lock
            if len(held) == count:
                for one in held.values():
                    # the command inherits the lock
                    os.set_inheritable(one, True)
                return list(held)
        # lock all or none, because otherwise two jobs that need two GPUs each could wait for each other
        for lock in held.values():
            os.close(lock)
        if not waited:
            print(f"waiting for {count} of the GPUs {', '.join(devices)}", file=sys.stderr, flush=True)
        waited = True
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1:])
