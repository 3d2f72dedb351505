"""What a lender keeps its rows in, for commands that must not load what reads them."""

from enum import StrEnum


class Through(StrEnum):
    """What a lender keeps its rows in."""

    BOOK = "book"
    CSV = "csv"
    PARQUET = "parquet"
    SQLITE = "sqlite"
