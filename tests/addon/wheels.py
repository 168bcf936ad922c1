"""A tiny package index for tests: a folder of hand-made wheels, named like the backend and what it needs."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cyclorama

CONSTRAINTS = "torch==2.13.0\nnumpy==2.4.6\n"


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = (), extra: str = ""
) -> Path:
    """A wheel of ``files`` (path: text); what it ``requires``, only with ``extra`` if that is given."""
    info = f"{name}-{version}.dist-info"
    only = f' ; extra == "{extra}"' if extra else ""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Provides-Extra: {extra}\n" if extra else ""
    metadata += "".join(f"Requires-Dist: {requirement}{only}\n" for requirement in requires)
    contents = dict(files)
    contents[f"{info}/METADATA"] = metadata
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def write_index(folder: Path, *, torch: str = "2.13.0+cpu", filler: int = 1000) -> Path:
    """The folder, with what the backend needs; torch's one module is ``filler`` bytes longer than need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_wheel(
        folder, "torch", torch, {"torch/__init__.py": f"__version__ = {torch!r}\n#{'x' * filler}\n"}, ("numpy",)
    )
    write_wheel(folder, "numpy", "2.4.6", {"numpy/__init__.py": "", "numpy/core.py": "zero = 0\n"})
    return folder


def write_backend(folder: Path, version: str = cyclorama.__version__, program: str = "") -> Path:
    """The wheel of a backend that does nothing; ``program`` is run at its import."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"cyclorama/__init__.py": "", "cyclorama/backend/__init__.py": "", "cyclorama/backend/cli.py": program}
    return write_wheel(folder, "cyclorama", version, files, ("torch", "numpy"), extra="backend")


class Index(ThreadingHTTPServer):
    """A package index over HTTP: ``served`` counts bytes by name; downloads of ``broken`` end half-way."""

    daemon_threads = True

    def __init__(self, wheels: Path):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.wheels = {wheel.name.split("-")[0]: wheel for wheel in wheels.glob("*.whl")}
        self.sizes = {name: wheel.stat().st_size for name, wheel in self.wheels.items()}
        self.served: Counter[str] = Counter()
        self.broken = ""
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Index

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, with_content: bool) -> None:
        name = self.path.strip("/").split("/")[-1].split("-")[0]
        wheel = self.server.wheels.get(name)
        if not wheel:
            return self.send_error(404)
        is_metadata = self.path.endswith(".metadata")
        is_file = self.path.startswith("/files/") and not is_metadata
        content = wheel.read_bytes() if is_file else _metadata(wheel) if is_metadata else self._page(wheel)
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        content = content[begin:]
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/octet-stream" if is_file else "text/html")
        self.send_header("Cache-Control", "max-age=3600" if is_file else "no-cache")
        self.end_headers()
        if not with_content:
            return None
        broken = is_file and name == self.server.broken
        content = content[: len(content) // 2] if broken else content
        if is_file:
            self.server.served[name] += len(content)
        self.wfile.write(content)
        return None

    def _page(self, wheel: Path) -> bytes:
        """With hashes, and the metadata as a file of its own, as PyPI has it."""
        digest, metadata = (hashlib.sha256(content).hexdigest() for content in (wheel.read_bytes(), _metadata(wheel)))
        link = f'href="{self.server.url}/files/{wheel.name}#sha256={digest}"'
        return f'<a {link} data-core-metadata="sha256={metadata}">{wheel.name}</a>'.encode()

    def log_message(self, *_words: object) -> None:
        """Nothing."""


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))


@contextmanager
def serve_index(wheels: Path) -> Iterator[Index]:
    """The folder's wheels as a package index over HTTP."""
    with Index(wheels) as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        yield index
        index.shutdown()


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
