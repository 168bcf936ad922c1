"""The real worker process, in a wrong time."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import wrong_clock  # noqa: F401 (before anybody looks at it)

from cyclorama.backend.server import worker

if __name__ == "__main__":
    worker.main()
