"""Run the computing process: requests come by standard input, replies go to standard output."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from typing import BinaryIO

from isoslice.errors import IsosliceError
from isoslice.viewer.compute.reporting import Cancellation, Cancelled, Reporting, warnings_told
from isoslice.viewer.messages import Answer, Asked, Cancel, Ended, Ready, Reply


class _Window:
    """The other end: takes replies, of any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, reply: Reply) -> None:
        """Send one reply."""
        with self._lock:
            pickle.dump(reply, self._stream, protocol=5)
            self._stream.flush()


def main() -> None:
    """Answer requests one after the other until the window goes."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print
    window = _Window(replies)
    asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
    cancellation = Cancellation()
    threading.Thread(target=_listen, args=(asked, cancellation), daemon=True).start()
    # PyTorch takes seconds: loaded before the first request, while people choose.
    from isoslice.viewer.compute.session import Session

    session = Session()
    window.send(Ready())
    while True:
        _answer(session, asked.get(), window, cancellation)


def _listen(asked: queue.SimpleQueue[Asked], cancellation: Cancellation) -> None:
    """Take requests, and cancellations at once; end the process when the window goes."""
    stream = sys.stdin.buffer
    while True:
        try:
            message = pickle.load(stream)
        except (EOFError, OSError):
            os._exit(0)  # at any moment: what is on the disk can be gone on with
        if isinstance(message, Cancel):
            cancellation.cancel(message.number)
        else:
            asked.put(message)


def _answer(session: object, asked: Asked, window: _Window, cancellation: Cancellation) -> None:
    from isoslice.viewer.compute.session import Session

    assert isinstance(session, Session)
    number = asked.number
    progress = Reporting(number, window.send, cancellation)
    try:
        cancellation.check(number)
        with warnings_told(number, window.send):
            for value in session.answer(asked.request, progress):
                cancellation.check(number)
                window.send(Answer(number, value))
    except Cancelled:
        window.send(Ended(number, cancelled=True))
    except IsosliceError as error:
        window.send(Ended(number, str(error)))
    except MemoryError:
        window.send(Ended(number, "got too little memory; restore a smaller stack"))
    except Exception as error:
        kind = type(error).__name__
        window.send(Ended(number, f"got an error in isoslice ({kind}: {error}); please report it"))
    else:
        window.send(Ended(number))


if __name__ == "__main__":
    main()
