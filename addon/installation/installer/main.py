"""The installer as a program: a request in JSON as its argument, lines of JSON out; it ends when its input does."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from . import trouble
from .place import LOG
from .request import Request
from .steps import run
from .trouble import InstallError


def main() -> None:
    """Do what the last argument asks for."""
    request = Request(**json.loads(sys.argv[-1]))
    stop: list[Callable[[], Any]] = []
    threading.Thread(target=_end_with_blender, args=(stop,), daemon=True).start()
    speaking = threading.Lock()

    def say(**said: object) -> None:
        with speaking:
            print(json.dumps(said), flush=True)

    try:
        run(request, say, stop)
    except InstallError as error:
        say(failed=[error.code, error.sentence, error.hint])
    except OSError as error:
        failed = trouble.of_os(error, request.folder)
        say(failed=[failed.code, failed.sentence, failed.hint])
    except Exception as error:  # noqa: BLE001 (the artist gets a sentence, the log the rest)
        _note(request, traceback.format_exc())
        say(failed=["install-unexpected", f"The installation failed: {error}.", "Show Log tells more."])
    else:
        say(done=True)


def _end_with_blender(stop: list[Callable[[], Any]]) -> None:
    """Blender closes our input to cancel, and the system does when Blender is gone."""
    while os.read(0, 4096):  # (sys.stdin would hold a lock that the interpreter's end waits for)
        continue
    for end in stop:
        end()
    os._exit(3)


def _note(request: Request, text: str) -> None:
    try:
        with (request.place / LOG).open("a", encoding="utf-8") as log:
            log.write(text)
    except OSError:
        print(text, file=sys.stderr)
