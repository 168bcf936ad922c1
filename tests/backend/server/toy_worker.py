"""A worker process with a toy recipe: what it does is the name of the "panorama"."""

import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np

from cyclorama.backend.server import worker
from cyclorama.bridge.address import backend_folder
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.settings import PanoramaTo4D

sys.path.append(str(Path(__file__).parent))
from small_scene import fill


def wait_for_leave(output, report=lambda step: None):
    for step in itertools.count():
        report(step)
        if (output.parent / "go on").exists():
            break
        time.sleep(0.02)


def quick(output, report, show):
    print("this must not reach the server's pipe")
    os.write(1, b"neither must this")
    assert not sys.stdin.read()
    for step in range(501):
        report("animate", step, 500)
    report("write", 1, 1)
    output.mkdir()


def endless(output, report, show):
    for step in itertools.count():
        report("animate", step, 1_000_000)
        time.sleep(0.02)


def deaf(output, report, show):
    report("animate", 0, 1)
    while True:
        time.sleep(0.1)


def patient(output, report, show):
    """Until it is told to go on, by a file beside its output."""
    show(np.full((256, 512, 3), 99, np.uint8))
    wait_for_leave(output, lambda step: report("animate", step, 1_000_000))
    output.mkdir()


def lethal(output, report, show):
    """Takes the server with it."""
    report("animate", 0, 1)
    os.kill(os.getppid(), 9)
    time.sleep(60)


def shows(output, report, show):
    report("animate", 0, 2)
    for shade in range(100):
        show(np.full((256, 512, 3), shade, np.uint8))
    time.sleep(0.6)
    report("animate", 1, 2)
    noise = np.random.default_rng(0).integers(0, 256, (1024, 2048, 3), dtype=np.uint8)
    show(noise)  # as hard to compress as can be
    wait_for_leave(output)
    output.mkdir()


def refuses(output, report, show):
    raise CycloramaError("panorama-not-2-to-1", "wide.exr is not twice as wide as high.", "Crop it.")


def hungry(output, report, show):
    raise MemoryError


def hungry_on_cuda(output, report, show):
    try:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")
    except RuntimeError as error:
        raise ValueError("the network cannot be run") from error


def broken(output, report, show):
    raise ZeroDivisionError("a fault in a recipe")


def dies(output, report, show):
    report("depth", 0, 1)
    os._exit(3)


def dies_once(output, report, show):
    """Goes on in the next process."""
    report("depth", 0, 1)
    if "dies_once" not in (backend_folder() / "runs").read_text().split()[:-1]:
        os.kill(os.getpid(), 9)
    output.mkdir()


def nice(output, report, show):
    assert os.getpriority(os.PRIO_PROCESS, 0) == 10
    output.mkdir()


TOYS = {
    toy.__name__: toy
    for toy in (
        *(quick, endless, deaf, patient, lethal, shows, refuses, hungry, hungry_on_cuda, broken),
        *(dies, dies_once, nice),
    )
}


def worker_count() -> int:
    return len((backend_folder() / "workers").read_text().split())


def play(panorama, output, settings, report, *, overwrite, show, cache):
    """Keeps a partial package as long as it runs, and a list of all runs."""
    toy = panorama.read_text() if panorama.exists() else panorama.name
    with (backend_folder() / "runs").open("a") as runs:
        runs.write(f"{toy}\n")
    with SceneWriter(output, overwrite) as writer:
        if toy == "finishes-alone":  # a little later than the next server starts
            report("animate", 0, 1)
            server = os.getppid()
            while os.getppid() == server:
                time.sleep(0.02)
            while worker_count() < 2:
                time.sleep(0.02)
        if toy in ("scene", "made-and-dead", "finishes-alone"):
            fill(writer, 20_000)
            if toy == "made-and-dead":
                os.kill(os.getpid(), 9)  # its end is not told
        else:
            TOYS[toy](output, report, show)


if __name__ == "__main__":
    with Path(backend_folder() / "workers").open("a") as workers:
        workers.write(f"{os.getpid()}\n")
    shares = {"depth": 0.1, "animate": 0.8, "write": 0.1}
    worker.main({PanoramaTo4D: lambda: worker.Recipe(play, lambda settings: shares)})
