"""The private folder that a pool's workers share with their parent."""

import shutil
from pathlib import Path

FOLDER_PREFIX = "lanewise-workers-"
"""How the private folders of worker processes begin; one that was left behind may be removed."""


def remove_left(folder: Path) -> None:
    """Remove the folder of a parent that was killed and could not; none that is not of such a pool."""
    if folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
