"""Lets atheris (libFuzzer, led by coverage) look for bytes that break a reader.

    pip install atheris      # not in the development tools: there is none for each Python and system
    python tests/faults/fuzzing/atheris_readers.py messages -max_total_time=300
    python tests/faults/fuzzing/atheris_readers.py package -max_total_time=300

Ends with code 77 and a crash file where something but a refusal comes out, and with 3, saying so, without atheris.
"""

from __future__ import annotations

import importlib
import io
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    atheris: Any = importlib.import_module("atheris")
except ImportError:
    print("SKIPPED: atheris is not installed, so nothing was tried. pip install atheris", file=sys.stderr)
    sys.exit(3)

with atheris.instrument_imports(include=["cyclorama"]):
    import msgspec

    from cyclorama.backend.server.pipe import FromWorker, Pipe
    from cyclorama.bridge.errors import CycloramaError
    from cyclorama.bridge.frames import reply_in, request_in, request_name
    from cyclorama.bridge.packing import packing_of, unpack
    from cyclorama.bridge.picture_size import picture_head
    from cyclorama.bridge.scene import Scene
    from cyclorama.bridge.stored_arrays import layout, numbers_at

SCRATCH = Path(os.environ.get("CYCLORAMA_FUZZ_SCRATCH", "."))


def messages(content: bytes) -> None:
    """The first byte says where the second frame begins."""
    at = 1 + int.from_bytes(content[:2], "little") % max(len(content), 1)
    for frames in ([content], [content[2:at], content[at:]]):
        for decode in (request_in, reply_in):
            try:
                decode(frames)
            except CycloramaError as error:
                assert str(error).isprintable()
        request_name(frames)


def pipe(content: bytes) -> None:
    """A stream of frames."""
    try:
        end: Pipe = Pipe(io.BytesIO(content), io.BytesIO(), FromWorker)
        while end.receive() is not None:
            pass
    except msgspec.DecodeError:
        return


def arrays(content: bytes) -> None:
    """A safetensors file, packed or not; its metadata are the fuzzer's too."""
    path = SCRATCH / "arrays.safetensors"
    path.write_bytes(struct.pack("<Q", int.from_bytes(content[:2], "little")) + content[2:])
    try:
        metadata, places = layout(path, path.stat().st_size)
        stored = dict(numbers_at(path, places))
        if (packing := packing_of(metadata)) is not None and all(a.count < 1 << 16 for a in packing.arrays.values()):
            dict(unpack(stored, packing, {}))
    except (ValueError, KeyError):
        return


def package(content: bytes) -> None:
    """The description of a package that has no files."""
    folder = SCRATCH / "a.cyclorama"
    folder.mkdir(exist_ok=True)
    (folder / "scene.json").write_bytes(content)
    try:
        Scene(folder).validate()
    except CycloramaError as error:
        assert str(folder) in str(error) and str(error).isprintable()


def picture(content: bytes) -> None:
    """The head of a picture."""
    path = SCRATCH / "picture"
    path.write_bytes(content)
    found = picture_head(path)
    assert found is None or found.size is None or min(found.size) > 0


READERS = {reader.__name__: reader for reader in (messages, pipe, arrays, package, picture)}


def sow(folder: Path, reader: str) -> None:
    """What is sound, to begin with."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from cyclorama.bridge import messages as said
    from fuzzing import flood
    from fuzzing.packages import write_all

    folder.mkdir()
    sound = write_all(folder.parent, lambda path: path.write_bytes(b"RIFF"), lambda path: path.write_bytes(b"exr"))
    kinds = {"messages": said.Request | said.Reply | said.AnyEvent, "pipe": FromWorker}
    contents = [msgspec.msgpack.encode(message) for message in flood.corpus(kinds.get(reader, said.Ping), 200)]
    if reader == "pipe":
        contents = [struct.pack("<I", len(content)) + content for content in contents]
    elif reader == "arrays":
        contents = [(each / "static.safetensors").read_bytes() for each in sound]
        contents = [content[:2] + content[8:] for content in contents]
    elif reader == "package":
        contents = [(each / "scene.json").read_bytes() for each in sound]
    for number, content in enumerate(contents if reader != "picture" else STARTS):
        (folder / str(number)).write_bytes(content)


STARTS = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\0\x80\x08\2\0\0\0",
    b"\xff\xd8\xff\xc0\0\x0b\x08\0\x80\1\0\1\1\x11\0\xff\xd9",
    b"\x76\x2f\x31\x01\2\0\0\0dataWindow\0box2i\0\x10\0\0\0" + struct.pack("<4i", 0, 0, 255, 127),
    b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 128 +X 256\n",
    b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\0\0\x7f\0\0",
    b"II*\0\x08\0\0\0\2\0" + struct.pack("<HHIIHHII", 256, 4, 1, 256, 257, 4, 1, 128),
)


def main(reader: str, options: list[str]) -> int:
    """In a process of its own, because libFuzzer ends without cleaning up."""
    with tempfile.TemporaryDirectory() as folder:
        sow(Path(folder) / "seeds", reader)
        command = [sys.executable, __file__, reader, *options, str(Path(folder) / "seeds")]
        return subprocess.run(command, env=os.environ | {"CYCLORAMA_FUZZ_SCRATCH": folder}).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"Which of them? {', '.join(READERS)}")
    if "CYCLORAMA_FUZZ_SCRATCH" not in os.environ:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], READERS[sys.argv[1]])
    atheris.Fuzz()
