"""Tables, migrations and transactions. Everything that must not be lost goes through :class:`Database`."""

from consent.storage.database import Database

__all__ = ["Database"]
