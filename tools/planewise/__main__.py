"""The console script, which `python -m planewise` also runs."""

import sys


def main() -> None:
    """Run a command. Ctrl-C ends it with one line, during the imports, too."""
    try:
        from planewise.commands import app  # imported here, because this takes half a second

        app()
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns KeyboardInterrupt into this status
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        print("planewise: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
