"""Reading files of galaxies: `open_source` gives batches of rows in house units, whatever the file looked like."""

from .profiles import PROFILES
from .source import FORMATS, FileSource, open_source

__all__ = ["FORMATS", "PROFILES", "FileSource", "open_source"]
