"""The backend as Blender sees it: its process, its connection, the current job."""

from .job import Job
from .session import (
    backend_pid,
    backend_state,
    cancel,
    current_job,
    device,
    drain,
    generate,
    register,
    start_backend,
    stop_backend,
    trouble,
    unregister,
    wait,
    working,
)

__all__ = [
    "Job",
    "backend_pid",
    "backend_state",
    "cancel",
    "current_job",
    "device",
    "drain",
    "generate",
    "register",
    "start_backend",
    "stop_backend",
    "trouble",
    "unregister",
    "wait",
    "working",
]
