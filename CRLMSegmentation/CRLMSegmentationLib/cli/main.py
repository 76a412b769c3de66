"""Entry point of `crlm-seg`: runs a command, and reports an error in one line."""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ..core.errors import CrlmError, os_reason
from ..core.text import printable

FAILED = 1
INTERRUPTED = 130
"""With this typer answers Ctrl-C."""
STOPPED = "stopped before the end"
ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
MAX_ERROR_CHARACTERS = 3000
"""Of the line that tells of an error; what it quotes of a file is cut to much less."""
POINT_OPTIONS = ("--seed", "--include", "--exclude")
FAULT = "a fault of this program, not of your data"


def main() -> None:
    """Run the command line; exit code 0 on success, 1 on failure, 2 on wrong arguments."""
    _end_like_ctrl_c()
    _escape_unprintable()
    try:
        from .commands import app  # not earlier, so that Ctrl-C is answered from the start

        app(join_points(sys.argv[1:]))
    except CrlmError as error:
        _fail(str(error), error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        own_words = f" ({error.strerror})" if error.strerror and error.strerror != os_reason(error) else ""
        _fail(f"{place}{os_reason(error)}{own_words}; check the path, its permissions and the free space", error)
    except MemoryError as error:
        _fail("not enough memory; close other programs or take a smaller volume", error)
    except KeyboardInterrupt as error:
        _forget_interrupt()
        _fail(STOPPED, error)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _forget_interrupt()
            _fail(STOPPED, ended)
        raise
    except Exception as error:
        _fail(f"{FAULT} ({type(error).__name__}: {error}); please report it with {_save_traceback(error)}", error)


def _escape_unprintable() -> None:
    """Escape characters that the encoding of the terminal lacks, so that no file name ends the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _save_traceback(error: Exception) -> str:
    """Write the traceback of an internal error to a file, and return its path."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="crlm-seg-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.writelines(traceback.format_exception(type(error), error, error.__traceback__))
    except OSError:
        return "the command that you gave"
    return file.name


def _end_like_ctrl_c() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C, unless they are ignored as under nohup."""
    for name in ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _forget_interrupt() -> None:
    """Let the exit code stand where the program runs as `python -m`.

    CPython notes a KeyboardInterrupt that leaves a text run by `exec`, as `dataclass` and `namedtuple` run some, and
    then ends by SIGINT whatever has caught it; it forgets it when it runs the next text.
    """
    exec("")


def join_points(arguments: Sequence[str]) -> list[str]:
    """Turn `--seed R A S` into `"--seed=R A S"`, since no option parser repeats an option of three words.

    The same with `--include` and `--exclude`.
    """
    if next((word for word in arguments if not word.startswith("-")), None) not in ("segment", "demo"):
        return list(arguments)
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        numbers = list(takewhile(_is_number, rest)) if word in POINT_OPTIONS else []
        joined.append(f"{word}={' '.join(numbers)}" if numbers else word)
        del rest[: len(numbers)]
    return joined


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _fail(text: str, error: BaseException) -> None:
    colour, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    whole = "; ".join(["Error: " + text, *_notes_of(error)])
    print(colour + printable(" ".join(whole.split()), MAX_ERROR_CHARACTERS) + plain, file=sys.stderr)
    sys.exit(FAILED)


def _notes_of(error: BaseException | None) -> Iterator[str]:
    """Return the notes on an error and on its causes; typer replaces a KeyboardInterrupt by an exit."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    main()
