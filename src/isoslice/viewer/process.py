"""The computing process as the window sees it: ask, be told, cancel at any moment."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import IO

from isoslice.viewer.messages import ENVIRONMENT, Asked, Cancel, Ended, Reply, Request

#: Seconds in which a cancelled request may end by itself, before its process is ended.
GRACE = 0.6
_COMMAND = (sys.executable, "-m", "isoslice.viewer.compute")


class ComputingProcess:
    """A process that answers requests, started anew whenever it ended.

    Parameters
    ----------
    receive
        Called with each reply, in a thread of its own.
    grace
        See `GRACE`.
    """

    def __init__(self, receive: Callable[[Reply], None], grace: float = GRACE) -> None:
        self._receive, self._grace = receive, grace
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.RLock()
        self._number = 0
        #: Requests that are not ended, and those of them that were cancelled.
        self._open, self._cancelled = set[int](), set[int]()

    def start(self) -> None:
        """Start the process now, so that its libraries are there when they are needed."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(os.environ),
                start_new_session=True,  # Ctrl-C in a terminal is the window's
            )
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()

    def ask(self, request: Request) -> int:
        """Send a request; return its number, which its replies have."""
        with self._lock:
            self.start()
            self._number += 1
            number = self._number
            self._open.add(number)
            self._send(Asked(number, request))
            return number

    def cancel(self, number: int) -> None:
        """Cancel all requests up to a number.

        What has not ended `grace` seconds later is ended with its process: what it had finished
        on the disk is kept there.
        """
        with self._lock:
            self.supersede(number)
            mine = self._open & self._cancelled
            process = self._process
        if not mine:
            return
        timer = threading.Timer(self._grace, self._end, args=(process, mine))
        timer.daemon = True
        timer.start()

    def supersede(self, number: int) -> None:
        """Cancel all requests up to a number, however long they take to end."""
        with self._lock:
            mine = {each for each in self._open if each <= number}
            self._cancelled |= mine
            if mine:
                self._send(Cancel(number))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
            self._open.clear()
        if process is not None:
            process.kill()
        if self._reader is not None:
            self._reader.join(timeout=5)

    def _send(self, message: Asked | Cancel) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, protocol=5)
            self._process.stdin.flush()
        except OSError:  # it has ended; `_read` tells
            return

    def _end(self, process: subprocess.Popen[bytes] | None, numbers: set[int]) -> None:
        """End a process in which cancelled requests are still at work."""
        with self._lock:
            if process is None or not numbers & self._open:
                return
        process.kill()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Pass replies on until the process ends, then say what became of its requests."""
        assert process.stdout is not None
        for reply in _replies(process.stdout):
            if isinstance(reply, Ended):
                with self._lock:
                    self._open.discard(reply.number)
            self._receive(reply)
        code = process.wait()
        with self._lock:
            _close(process)
            if process is not self._process:  # closed
                return
            self._process = None
            left, self._open = sorted(self._open), set()
        for number in left:
            cancelled = number in self._cancelled
            self._receive(Ended(number, None if cancelled else _ended_text(code), cancelled))


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the streams of a process that has ended."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what it did not read
                stream.close()


def _replies(stream: IO[bytes]) -> Iterator[Reply]:
    """Yield replies until the stream ends, even within one."""
    while True:
        try:
            reply: Reply = pickle.load(stream)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return
        yield reply


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return {**ENVIRONMENT, **given}


def _ended_text(code: int) -> str:
    """Say that the process ended by itself."""
    memory = " (perhaps there was too little memory)" if code == -9 else ""
    return (
        f"the computing process ended with code {code}{memory}, expected an answer; try again, "
        "with a smaller stack if it happens again"
    )
