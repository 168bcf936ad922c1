"""The one family of errors a user can meet: a code, a sentence, and a hint of what to do."""


class CycloramaError(Exception):
    """Something went wrong that an artist can understand and act on.

    Args:
        code: stable identifier in kebab-case, for programs (``"panorama-not-2-to-1"``).
        sentence: one sentence that names the thing (the file, the stroke, the port).
        hint: what to do next; may be empty.
    """

    def __init__(self, code: str, sentence: str, hint: str = ""):
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".rstrip()


def quotable(text: str, longest: int = 300) -> str:
    """A stranger's words for a sentence: not without end, and without signs that command a terminal or break a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


class Cancelled(Exception):  # noqa: N818 (no error)
    """The artist asked a job to stop; not an error, and never shown as one."""
