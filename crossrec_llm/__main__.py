"""The entry point of `crossrec`, light, so that Ctrl-C is heard while the rest is imported."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from crossrec_llm.cli.main import run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("crossrec: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
