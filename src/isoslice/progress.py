"""What long work tells its caller: one interface, silent by default.

The library never prints. The command line passes `terminal_progress()`.
"""

from __future__ import annotations


class Progress:
    """Receives notes and progress; this base class ignores them."""

    def note(self, text: str) -> None:
        """Take one line the user should read (a choice that was made, a finding)."""

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Show `task` as `fraction` done (0 to 1; 1 ends it), with a short `detail`."""

    def close(self) -> None:
        """Leave the terminal as it was."""
