"""What errors of libraries say, in the words of our messages."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """What a library's error says, in at most 300 characters."""
    if "weights_only" in str(error):  # torch's message goes on to recommend unpickling the file
        return "not a PyTorch file of plain tensors"
    return " ".join(str(error).split())[:300] or type(error).__name__


def last_line(said: BaseException | str) -> str:
    """The last line of an error or its text, which says what went wrong where Ray wrapped a traceback."""
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    return lines[-1] if lines else type(said).__name__
