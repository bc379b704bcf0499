"""The way from an older schema to this one, step by step (Alembic)."""
