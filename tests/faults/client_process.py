"""A client that tests may kill: asks for jobs and says what it is told, a line each.

Arguments: the backend's folder, and a file with the requests in JSON.
"""

import sys
from pathlib import Path

import msgspec

from cyclorama.bridge import messages
from cyclorama.bridge.client import Client

if __name__ == "__main__":
    folder, requests = map(Path, sys.argv[1:])
    asked = msgspec.json.decode(requests.read_bytes(), type=list[messages.Generate])
    with Client(folder) as client:
        for generate in asked:
            client.request(generate, 60)
            print("accepted", generate.job, flush=True)
        left = {generate.job for generate in asked}
        while left:
            for message in client.drain():
                if isinstance(message, messages.Done | messages.Failed | messages.Cancelled):
                    left.discard(message.job)
                    print("ended", message.job, flush=True)
