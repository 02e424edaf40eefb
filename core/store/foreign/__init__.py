"""An app's own database as a source of rows: PostgreSQL or a SQLite file, read and never written."""
