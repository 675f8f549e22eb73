"""The command line of commands that are no stages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from biomedica_ray.config.base import ConfigError
from biomedica_ray.config.wording import suggest


class Arguments(argparse.ArgumentParser):
    """What ``biomedica COMMAND`` takes; what is wrong is one line, a :class:`ConfigError`."""

    def __init__(self, command: str, what: str) -> None:
        super().__init__(f"biomedica {command}", description=what, allow_abbrev=False)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options; raises ConfigError where one is unknown, missing or wrong."""
        options, rest = self.parse_known_args(list(argv))
        if rest:
            names = [option.removeprefix("--") for option in self._option_string_actions if option.startswith("--")]
            known = [name for name in names if name != "help"]
            key = rest[0].removeprefix("--").partition("=")[0]
            raise ConfigError(f"{rest[0]}: unknown key; {suggest(key, known)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Called by argparse with what is wrong."""
        raise ConfigError(message)
