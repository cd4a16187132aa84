"""The ``lanewise`` command, and ``python -m lanewise``."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run :func:`lanewise.cli.main`; Ctrl-C while that is still being loaded ends in one line as well."""
    try:
        from lanewise.cli import main as run

        run()
    except KeyboardInterrupt:
        print("lanewise: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
