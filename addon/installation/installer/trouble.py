"""What can go wrong while installing, as sentences an artist can act on."""

from __future__ import annotations

import re
from collections.abc import Iterable


class InstallError(Exception):
    """A code, a sentence and a hint, as ``CycloramaError`` has them (which lives where this program cannot reach)."""

    def __init__(self, code: str, sentence: str, hint: str = ""):
        super().__init__(sentence)
        self.code, self.sentence, self.hint = code, sentence, hint


CONTINUE = "Then click Continue: what is there already is kept."

_MISSING = (
    re.compile(r"No matching distribution found for ([^\s(]+)"),
    re.compile(r"no matching distributions available for your environment:\s+([\w.-]+)"),
    re.compile(r"depends on ([\w.-]+)\b[^\n]*\n *The user requested \(constraint\) \1=="),  # pip before 25
)
"""The tested versions fit together: what pip calls a conflict is one of them that is not there."""

_FAILED_BUILD = re.compile(r"(?:Failed (?:building wheel|to build) (?:for )?|installable wheels for )['\"]?([\w.-]+)")
_HTTP = re.compile(r"(40[1347]) (?:Client )?Error[^:]*: ?([^\n]*)")


def of_os(error: OSError, folder: object) -> InstallError:
    """What the operating system refused while working in ``folder``."""
    if error.errno == 28 or getattr(error, "winerror", 0) == 112:
        return disk_full(folder)
    return InstallError(
        "install-folder-unusable",
        f"The folder {folder} cannot be used: {error.strerror or error}.",
        "Choose another folder under Install In.",
    )


def disk_full(folder: object) -> InstallError:
    """There is no room left."""
    return InstallError(
        "install-disk-full",
        f"The disk of {folder} is full.",
        f"Free some space, or remove the installation and choose another folder. {CONTINUE}",
    )


def of_pip(lines: Iterable[str], ending: str, folder: object) -> InstallError:
    """What pip's last lines mean.

    Args:
        lines: what it printed.
        ending: how it ended (``"exit code 1"``).
        folder: where it was to install.
    """
    text = "\n".join(lines)
    found = _known(text, folder)
    if found:
        return found
    words = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("ERROR:")]
    said = f": {words[-1].rstrip('.')}" if words else f" ({ending})"
    return InstallError("install-failed", f"pip did not finish{said}.", f"Show Log tells more. {CONTINUE}")


def _known(text: str, folder: object) -> InstallError | None:
    if "No space left on device" in text or "[WinError 112]" in text or "Errno 28" in text:
        return disk_full(folder)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return InstallError(
            "install-certificate",
            "The package index shows a certificate that is not trusted.",
            "Behind a studio's proxy: have its certificate set in pip's configuration (global.cert).",
        )
    if refused := _HTTP.search(text):
        return InstallError(
            "install-refused",
            f"The package index refused a download ({refused[1]} {refused[2].strip()}).",
            "Look at the index and its password in pip's configuration.",
        )
    if _offline(text):
        return InstallError(
            "install-no-network",
            "The package index cannot be reached.",
            f"Look at the network, or set a Wheel Folder. {CONTINUE}",
        )
    if "Permission denied" in text or "Access is denied" in text or "[WinError 5]" in text:
        return InstallError(
            "install-folder-unusable",
            f"Files in {folder} cannot be written.",
            f"Stop the backend, close other Blenders, look at the folder's permissions. {CONTINUE}",
        )
    if "DO NOT MATCH THE HASHES" in text or "BadZipFile" in text or ("is invalid" in text and ".whl" in text):
        return InstallError("install-damaged", "A downloaded file is damaged.", "Click Continue: it is loaded again.")
    if missing := next(filter(None, (pattern.search(text) for pattern in _MISSING)), None):
        return InstallError(
            "install-package-missing",
            f"There is no package {missing[1]} for this Python and system where pip looks.",
            "Add it to the wheel folder or the package index. Show Log tells where pip looked.",
        )
    if "ResolutionImpossible" in text or "conflicting dependencies" in text:
        return InstallError("install-conflict", "The packages' versions exclude each other.", "Show Log tells which.")
    if failed := _FAILED_BUILD.search(text):
        return InstallError("install-build-failed", f"{failed[1]} could not be built.", "Show Log tells why.")
    return None


def _offline(text: str) -> bool:
    signs = ("NewConnectionError", "NameResolutionError", "Failed to establish", "ConnectTimeout", "Read timed out")
    more = (
        "Max retries exceeded",
        "ConnectionResetError",
        "IncompleteRead",
        "connection broken",
        "ProxyError",
        "not enough bytes were received",
    )
    return any(sign in text for sign in (*signs, *more))
