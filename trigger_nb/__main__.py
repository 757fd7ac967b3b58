"""`python -m trigger_nb`: the command line, which needs the extra `cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exits with 2 if the extra is not installed."""
    try:
        import rich
        import typer
    except ImportError as error:
        sys.exit(_missing(error))
    del rich, typer
    from ._cli.app import run

    run()


def _missing(error: ImportError) -> int:
    print(  # noqa: T201
        f"trigger-nb needs a library that is not installed ({error.name}): pip install 'trigger-nb[cli]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    main()
