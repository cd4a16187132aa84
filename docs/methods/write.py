"""Write what is written of the pages of methods: their pictures, and the parts that the code knows.

python docs/methods/write.py              all pictures, then all pages
python docs/methods/write.py adam bfgs    these pictures, then all pages
python docs/methods/write.py --pages      pages only
"""

import sys

from method_facts import HERE, filled, index_parts, page_of, parts_of
from method_paths import NAMES
from method_pictures import picture


def main(arguments: list[str]) -> None:
    wanted = () if arguments == ["--pages"] else arguments or NAMES
    for name in wanted:
        (HERE / f"{name}.svg").write_text(picture(name), encoding="utf-8")
    for name in NAMES:
        page = page_of(name)
        page.write_text(filled(page.read_text(encoding="utf-8"), parts_of(name)), encoding="utf-8")
    index = HERE / "index.md"
    index.write_text(filled(index.read_text(encoding="utf-8"), index_parts()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
