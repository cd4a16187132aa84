"""The command line: thin commands, no logic. ``lanewise --help`` loads neither torch nor scikit-learn."""

from lanewise.cli.main import main

__all__ = ["main"]
