from __future__ import annotations

import io
import re

from biomedica_ray.jobs.following import LogView

STEP = "10:00:00 INFO [extract-1] extract: {}/20 units, {} rows, 2.5/s, 0 errors, 16 s left"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        """The lines that one sees: each return to the start of a line erases it."""
        return [re.split(r"\r\x1b\[K", line)[-1] for line in self.getvalue().split("\n")]


def test_a_file_gets_each_line_however_the_log_is_cut() -> None:
    out = io.StringIO()
    view = LogView(out)
    for piece in ("begins\nex", "tracts\n", STEP.format(1, 5), "\n"):
        view.write(piece)
    view.close()
    assert out.getvalue() == f"begins\nextracts\n{STEP.format(1, 5)}\n"


def test_on_a_terminal_progress_takes_one_line_below_the_others() -> None:
    out = Terminal()
    view = LogView(out)
    for line in (STEP.format(1, 5), STEP.format(2, 10), "a warning", STEP.format(3, 15)):
        view.write(f"{line}\n")
    view.close()
    assert out.shown() == ["a warning", STEP.format(3, 15)[:79], ""]
