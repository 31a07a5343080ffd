"""`python -m gateway`: the front door alone. `cosmicflows gateway` is the same."""

import sys

from cfcore.cli import main

if __name__ == "__main__":
    sys.exit(main(["gateway", *sys.argv[1:]]))
