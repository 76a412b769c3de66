"""The typer application and the option --verbose."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from ..core.text import printable

MAX_LOGGED = 2000
"""Characters of a line."""

app = typer.Typer(
    name="crlm-seg",
    help="Segments colorectal liver metastases in tracked 3D intraoperative ultrasound. Not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print log messages.")] = False,
) -> None:
    # Without -v nothing is logged: what a user must know is in the answer or in the one line of the error.
    level = logging.INFO if verbose else logging.CRITICAL
    logging.basicConfig(level=level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_OneLine("%(asctime)s %(name)s: %(message)s"))


class _OneLine(logging.Formatter):
    """Log formatter that escapes control characters, so that names from files cannot forge log lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        return printable(super().formatMessage(record), MAX_LOGGED)
