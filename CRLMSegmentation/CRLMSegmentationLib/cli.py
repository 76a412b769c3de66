"""`crlm-seg`: runs a command, and tells what went wrong in one line. The commands stand in `commands.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile

from .core.errors import CrlmError

FAILED = 1
INTERRUPTED = 130
"""With this typer answers Ctrl-C."""
STOPPED = "Error: stopped by Ctrl-C"


def main() -> None:
    """Run the command line; exit code 0 fine, 1 failed, 2 wrong arguments."""
    try:
        from .commands import app  # not earlier, so that Ctrl-C is answered from the start

        app(join_seeds(sys.argv[1:]))
    except CrlmError as error:
        _fail(f"Error: {error}")
    except OSError as error:
        reason = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)
        _fail(f"Error: {reason}; check the path, its permissions and the free space")
    except MemoryError:
        _fail("Error: not enough memory; close other programs or take a smaller volume")
    except KeyboardInterrupt:
        _fail(STOPPED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _fail(STOPPED)
        raise


def join_seeds(arguments: Sequence[str]) -> list[str]:
    """`segment --seed R A S` to `segment "--seed=R A S"`: no option parser repeats an option of three words."""
    if next((word for word in arguments if not word.startswith("-")), None) != "segment":
        return list(arguments)
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        numbers = list(takewhile(_is_number, rest)) if word == "--seed" else []
        joined.append(f"--seed={' '.join(numbers)}" if numbers else word)
        del rest[: len(numbers)]
    return joined


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _fail(text: str) -> None:
    colour, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(colour + " ".join(text.split()) + plain, file=sys.stderr)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
