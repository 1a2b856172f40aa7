"""What must last and be counted: keys, the ledger, stored responses. A relational database beside the store.

SQLite in ``DATA_DIR/bridge.db`` by default, PostgreSQL with ``DATABASE_URL``. Nothing here imports SQLAlchemy before
the database is used, nor Alembic before a migration is due: an idle worker has neither.
"""

from __future__ import annotations

from app.database.database import Database

__all__ = ["Database"]
