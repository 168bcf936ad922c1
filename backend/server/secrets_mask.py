"""What must never be in a log: keys, invitations' secrets, tokens, passwords in addresses; each becomes [secret]."""

from __future__ import annotations

import re

MASK = "[secret]"

_Z85 = r"0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#"
_SELDOM = r":+=^!*?&<>()\[\]{}@%$#"
"""Of Z85's signs those that paths, checksums and names seldom have. One key in 50,000 has none of them."""

_CURVE_KEY = re.compile(
    rf"(?:(?<![{_Z85}])|(?<=[=:(\[]))"
    rf"(?=[{_Z85}]{{40}}[.:)\]}}]?(?:[^{_Z85}]|$))"
    rf"(?:(?=\S{{0,39}}[{_SELDOM}])|(?!/)(?=\S{{0,39}}[A-Z])(?=\S{{0,39}}[a-z])(?=\S{{0,39}}[0-9]))"
    r".{40}"
)
_NAMED = re.compile(
    r"(?i)((?<![a-z])(?:secret|secret_?key|token|password|passwd|api[_-]?key|authorization)[\"']?\s*[=:]\s*"
    r"(?:bearer\s+)?)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;\"']+)"
)
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}|(?<=Bearer )\S+")
_PASSWORD_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)")


def masked(text: str) -> str:
    """``text`` with everything that looks like a secret replaced."""
    text = _PASSWORD_IN_ADDRESS.sub(MASK, text)
    text = _TOKEN.sub(MASK, text)
    text = _NAMED.sub(rf"\g<1>{MASK}", text)
    return _CURVE_KEY.sub(MASK, text)
