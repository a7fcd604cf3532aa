"""Let Ctrl-C and SIGTERM end a run at any point."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

#: Python's default handler of each signal.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def listen() -> None:
    """Make SIGTERM end this process like Ctrl-C, with an exception in the main thread, and record both signals.

    Handlers that other code has installed are kept. In threads other than the main thread, no handler is installed.
    """
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, _stop)


def stop_if_asked(*_: Any) -> None:
    """Raise the exception of a recorded signal again, because it may have been lost: C++ code drops exceptions while it
    checks whether an object has an attribute."""
    if _received:
        _raise(_received[-1])


def _stop(number: int, frame: Any) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
