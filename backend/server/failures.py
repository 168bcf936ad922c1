"""What an artist is told of a job that failed: the truth, and what to change, in the words of Blender's panel."""

from __future__ import annotations

import sys
from pathlib import Path

from ...bridge import messages
from ...bridge.address import backend_folder
from ...bridge.errors import CycloramaError
from ...bridge.settings import WITHOUT_NETWORK, PanoramaTo4D

OUT_OF_MEMORY = "out-of-memory"

_SAYS_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
    "insufficient memory",
)


def failure(asked: messages.Generate, error: Exception) -> messages.Failed:
    """Why the recipe ended without a scene."""
    if isinstance(error, CycloramaError) and error.code != OUT_OF_MEMORY:
        return messages.Failed(job=asked.job, code=error.code, sentence=error.sentence, hint=error.hint)
    if isinstance(error, CycloramaError) or is_out_of_memory(error):
        sentence = error.sentence if isinstance(error, CycloramaError) else _where(error)
        return messages.Failed(job=asked.job, code=OUT_OF_MEMORY, sentence=sentence, hint=memory_hint(asked.settings))
    return messages.Failed(
        job=asked.job,
        code="internal-error",
        sentence=f"Something unforeseen happened ({type(error).__name__}).",
        hint=f"The backend's log says more: {backend_folder() / 'backend.log'}",
    )


def died(
    asked: messages.Generate, stage: str, how: str, system_was_out_of_memory: bool, deaths: int = 1
) -> messages.Failed:
    """What to tell of a job whose worker process ended under it.

    Args:
        how: "signal 9" or "exit code 1".
        system_was_out_of_memory: the operating system has ended a process for want of memory meanwhile.
        deaths: how often it has ended.
    """
    during = f"during {stage}" if stage else "at its start"
    if system_was_out_of_memory:
        return messages.Failed(
            job=asked.job,
            code=OUT_OF_MEMORY,
            sentence=f"This computer ran out of memory {during}, and the system ended the worker process.",
            hint=memory_hint(asked.settings),
        )
    hint = "Try again; if it happens again, the backend's log says more."
    if how == "signal 9":
        hint = f"If nobody ended it, the system ran out of memory. {memory_hint(asked.settings)}"
    again = "" if deaths < 2 else "again "
    return messages.Failed(
        job=asked.job, code="worker-died", sentence=f"The worker process ended {again}({how}) {during}.", hint=hint
    )


def ended_repeatedly(asked: messages.Generate, times: int) -> messages.Failed:
    """What to tell of a job under which the server itself has ended so often."""
    return messages.Failed(
        job=asked.job,
        code="backend-ended-repeatedly",
        sentence=f"The backend ended {times} times while it made this scene.",
        hint="It may take more memory than there is: lower Resolution or Frames and generate, or try again.",
    )


def not_started(asked: messages.Generate, how: str) -> messages.Failed:
    """What to tell of a job for which no worker process can be started. ``how`` it ended: "exit code 1"."""
    return messages.Failed(
        job=asked.job,
        code="worker-does-not-start",
        sentence=f"The worker process ended ({how}) at its start.",
        hint="Its installation may be damaged: install the backend again. The backend's log says more.",
    )


def memory_hint(settings: PanoramaTo4D) -> str:
    """Which of these settings to lower, so that less memory is taken."""
    lower = [f"Resolution ({settings.width} now)" if settings.width else "Resolution"]
    if settings.frames != 1:
        lower.append(f"Frames ({settings.frames} now)" if settings.frames else "Frames")
    if settings.lift != "direct":
        lower.append(f"At Most ({settings.gaussians:,} Gaussians now)" if settings.gaussians else "At Most (Gaussians)")
    listed = " or ".join([", ".join(lower[:-1]), lower[-1]] if lower[1:] else lower)
    hint = f"Lower {listed}"
    if settings.animator == "panoramic" or settings.estimator not in WITHOUT_NETWORK:
        now = f" ({settings.memory:g} now)" if settings.memory else ""
        hint += f", set Memory (GB){now} to less than what is free"
    return f"{hint}, or close other programs; then generate again."


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether it comes of memory that ran out, on whatever device and in whatever library."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
            return True
        may_say_so = isinstance(error, RuntimeError | OSError) or type(error).__module__ == "cv2"
        if may_say_so and any(words in text for words in _SAYS_OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def free_memory() -> None:
    """Give back what a failed job leaves in the libraries' caches, so that the next has it."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def system_kills() -> int:
    """How often the system has ended a process for want of memory since it started; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _where(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text += f" {type(error).__name__} {error}".lower()
        error = error.__cause__ or error.__context__
    if "cuda" in text or "cudnn" in text or "cublas" in text:
        return "The graphics card does not have enough memory for this scene."
    return "This computer does not have enough memory for this scene."
