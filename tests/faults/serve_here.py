"""A backend process for tests: what to serve is its only argument, in JSON."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import wrong_clock  # noqa: F401 (before anybody looks at it)

from cyclorama.backend.server.serve import serve
from cyclorama.bridge.errors import CycloramaError

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    command = [sys.executable, *asked["worker"]]
    try:
        serve(Path(asked["folder"]), asked["port"], watch_stdin=True, listen=asked["listen"], worker_command=command)
    except CycloramaError as error:
        print(f"{error.code}: {error.sentence} {error.hint}", file=sys.stderr)
        sys.exit(1)
