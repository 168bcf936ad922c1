"""A worker process that makes nothing: it says at once how each job ended."""

import sys
from itertools import cycle

from cyclorama.backend.server.pipe import Pipe, Ready, ToWorker
from cyclorama.bridge import messages

pipe = Pipe(sys.stdin.buffer, sys.stdout.buffer, ToWorker)
pipe.send(Ready("nothing", cores=1))
how = cycle(("done", "failed", "cancelled"))
while (asked := pipe.receive()) is not None:
    if isinstance(asked, messages.Generate):
        pipe.send(messages.Progress(job=asked.job, stage="depth", step=1, total=2, fraction=0.5))
        match next(how):
            case "done":
                pipe.send(messages.Done(job=asked.job, scene=asked.output, seconds={"depth": 0.1}, peak_bytes=1))
            case "failed":
                pipe.send(messages.Failed(job=asked.job, code="toy", sentence="It is only a toy."))
            case "cancelled":
                pipe.send(messages.Cancelled(job=asked.job))
