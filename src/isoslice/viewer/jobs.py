"""Work in the computing process, or in a thread of the window's, told by signals of Qt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, Signal

from isoslice.errors import IsosliceError
from isoslice.viewer.messages import Answer, Ended, Note, Progressed, Ready, Reply, Request, Warned
from isoslice.viewer.process import ComputingProcess


class Jobs(QObject):
    """Asks the computing process, and passes on what it replies in the window's own thread.

    Signals carry the number of a request first.
    """

    ready = Signal()
    answered = Signal(int, object)
    progressed = Signal(int, str, float)
    noted = Signal(int, str)
    warned = Signal(int, str, bool)
    #: Number, error in one line or "", whether it was cancelled.
    ended = Signal(int, str, bool)
    _replied = Signal(object)
    _done = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self._replied.connect(self._pass_on)
        self._done.connect(lambda then, value: then(value))
        self._process = ComputingProcess(self._replied.emit)
        self._threads = ThreadPoolExecutor(1, "isoslice-window")

    def start(self) -> None:
        """Start the computing process, so that it is ready when it is needed."""
        self._process.start()

    def ask(self, request: Request) -> int:
        """Send a request; return its number."""
        return self._process.ask(request)

    def cancel(self, number: int) -> None:
        """Cancel all requests up to a number, within a second."""
        self._process.cancel(number)

    def supersede(self, number: int) -> None:
        """Cancel all requests up to a number when they next tell how far they are."""
        self._process.supersede(number)

    def in_thread(
        self, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        """Do work that would hold up the window in a thread; call `then` or `failed` in its own."""

        def ended(future: Future[Any]) -> None:
            error = future.exception()
            with suppress(RuntimeError):  # the panel is gone
                if error is None:
                    self._done.emit(then, future.result())
                else:
                    self._done.emit(failed, _one_line(error))

        self._threads.submit(work).add_done_callback(ended)

    def close(self) -> None:
        """End the computing process, and wait for nothing."""
        self._replied.disconnect()
        self._process.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pass_on(self, reply: Reply) -> None:
        match reply:
            case Ready():
                self.ready.emit()
            case Note(number, text):
                self.noted.emit(number, text)
            case Warned(number, text, doubt):
                self.warned.emit(number, text, doubt)
            case Progressed(number, task, fraction):
                self.progressed.emit(number, task, fraction)
            case Answer(number, value):
                self.answered.emit(number, value)
            case Ended(number, error, cancelled):
                self.ended.emit(number, error or "", cancelled)


def _one_line(error: BaseException) -> str:
    if isinstance(error, IsosliceError):
        return str(error)
    return f"got {type(error).__name__}: {error}; please report it"
