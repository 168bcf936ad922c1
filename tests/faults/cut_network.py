"""A network that tests can cut: a TCP proxy on loopback, slow enough that something is always on its way."""

import selectors
import socket
import threading
import time
from contextlib import suppress

_PIECE_BYTES = 1 << 14


class Network:
    """From ``port`` of this computer to the backend's.

    Args:
        bytes_per_second: that each connection carries.
    """

    def __init__(self, backend_port: int, bytes_per_second: float = 4e6):
        self._backend = ("127.0.0.1", backend_port)
        self._pause = _PIECE_BYTES / bytes_per_second
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._whole = threading.Event()
        self._whole.set()
        self._silent = threading.Event()
        self._closed = False
        self.carried = 0
        """Bytes, to and fro."""
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """All connections end, and new ones do too."""
        self._whole.clear()
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            _end(line)

    def silence(self) -> None:
        """Connections stay, but nothing comes through any more; what was sent is lost."""
        self._silent.set()

    def mend(self) -> None:
        """New connections are carried again; those that fell silent are lost."""
        if self._silent.is_set():
            self.cut()
        self._silent.clear()
        self._whole.set()

    def close(self) -> None:
        """For ever."""
        self._closed = True
        self.cut()
        self._door.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if not self._whole.is_set():
                _end(near)
                continue
            try:
                far = socket.create_connection(self._backend, 10)
            except OSError:
                _end(near)
                continue
            with self._lock:
                self._lines += (near, far)
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near.fileno(): (near, far), far.fileno(): (far, near)}
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(near, selectors.EVENT_READ)
                selector.register(far, selectors.EVENT_READ)
                while self._carry_some(*(other[key.fd] for key, _ in selector.select())):
                    pass
        except (OSError, ValueError):
            return  # it was cut
        finally:
            _end(near)
            _end(far)

    def _carry_some(self, *lines: tuple[socket.socket, socket.socket]) -> bool:
        """What has come on some; False where one has ended."""
        for sender, receiver in lines:
            content = sender.recv(_PIECE_BYTES)
            if not content:
                return False
            if not self._silent.is_set():
                receiver.sendall(content)
                self.carried += len(content)
                time.sleep(self._pause * len(content) / _PIECE_BYTES)
        return True


def _end(line: socket.socket) -> None:
    with suppress(OSError):  # the other end was faster
        line.shutdown(socket.SHUT_RDWR)
    line.close()
