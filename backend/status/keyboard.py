"""Single keys from a terminal, without Enter and without being shown."""

from __future__ import annotations

import sys
import time

LEAVE = "q"

if sys.platform == "win32":
    import msvcrt

    class Keyboard:
        """While entered; without a terminal there are no keys."""

        def __enter__(self) -> Keyboard:
            return self

        def __exit__(self, *_exception) -> None:
            pass

        def wait(self, seconds: float) -> str:
            """The key that was pressed within so many seconds; "" for none."""
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if sys.stdin.isatty() and msvcrt.kbhit():
                    return msvcrt.getwch()
                time.sleep(0.05)
            return ""

else:
    import os
    import select
    import termios
    import tty

    class Keyboard:
        """While entered; without a terminal there are no keys."""

        def __init__(self) -> None:
            self._terminal = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None

        def __enter__(self) -> Keyboard:
            if self._terminal is not None:
                self._before = termios.tcgetattr(self._terminal)
                tty.setcbreak(self._terminal)
            return self

        def __exit__(self, *_exception) -> None:
            if self._terminal is not None:
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

        def wait(self, seconds: float) -> str:
            """The key that was pressed within so many seconds; "" for none."""
            if self._terminal is None:
                time.sleep(seconds)
                return ""
            ready, _, _ = select.select([self._terminal], [], [], seconds)
            if not ready:
                return ""
            return os.read(self._terminal, 1).decode("ascii", "replace") or LEAVE  # the terminal was closed
