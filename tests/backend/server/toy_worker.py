"""A worker process with a toy recipe: what it does is the name of the "panorama"."""

import itertools
import os
import sys
import time
from pathlib import Path

from cyclorama.backend.server import worker
from cyclorama.bridge.address import backend_folder
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.settings import PanoramaTo4D


def quick(output, report):
    print("this must not reach the server's pipe")
    os.write(1, b"neither must this")
    assert not sys.stdin.read()
    for step in range(501):
        report("animate", step, 500)
    report("write", 1, 1)
    output.mkdir()


def endless(output, report):
    for step in itertools.count():
        report("animate", step, 1_000_000)
        time.sleep(0.02)


def deaf(output, report):
    report("animate", 0, 1)
    while True:
        time.sleep(0.1)


def refuses(output, report):
    raise CycloramaError("panorama-not-2-to-1", "wide.exr is not twice as wide as high.", "Crop it.")


def hungry(output, report):
    raise MemoryError


def broken(output, report):
    raise ZeroDivisionError("a fault in a recipe")


def dies(output, report):
    report("depth", 0, 1)
    os._exit(3)


TOYS = {toy.__name__: toy for toy in (quick, endless, deaf, refuses, hungry, broken, dies)}


def play(panorama, output, settings, report, *, overwrite):
    """Keeps a partial package as long as it runs, and a list of all runs."""
    with (backend_folder() / "runs").open("a") as runs:
        runs.write(f"{panorama.name}\n")
    with SceneWriter(output, overwrite):
        TOYS[panorama.name](output, report)


if __name__ == "__main__":
    with Path(backend_folder() / "workers").open("a") as workers:
        workers.write(f"{os.getpid()}\n")
    worker.main({PanoramaTo4D: lambda: worker.Recipe(play, {"depth": 0.1, "animate": 0.8, "write": 0.1})})
