"""What every Milepost service shares, and the `milepost` command."""

# First of all, so that whichever library asks for `sqlite3` after us gets the bundled one.
from milepost import sqlite as sqlite

__version__ = "0.1.0"
