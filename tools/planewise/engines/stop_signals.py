"""Ctrl-C and SIGTERM end a run, wherever they reach it."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

#: Who listens to a signal unless somebody else was told to.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def listen() -> None:
    """Let SIGTERM end this process as Ctrl-C does, by an exception in the main thread; both are remembered.

    A handler that somebody else installed stays, and threads other than the main one change nothing.
    """
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, _stop)


def stop_if_asked(*_: Any) -> None:
    """Raise again what a signal raised, if it was lost: C++ code that asks whether an object has a name drops exceptions."""
    if _received:
        _raise(_received[-1])


def _stop(number: int, frame: Any) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
