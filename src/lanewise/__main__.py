"""``python -m lanewise`` is the ``lanewise`` command."""

from lanewise.cli import main

if __name__ == "__main__":
    main()
