"""Ctrl-C and SIGTERM end a run at any point."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

#: Default handlers of a signal, unless somebody has installed another one.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def listen() -> None:
    """Let SIGTERM end this process like Ctrl-C, by an exception in the main thread; both are recorded.

    A handler that somebody else installed stays, and threads other than the main one change nothing.
    """
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, _stop)


def stop_if_asked(*_: Any) -> None:
    """Raise a signal's exception again if it was lost: C++ code that checks whether an object has a name drops
    exceptions.
    """
    if _received:
        _raise(_received[-1])


def _stop(number: int, frame: Any) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
