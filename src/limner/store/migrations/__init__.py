"""How the schema came to be: one module a version under ``versions``, run by alembic through ``env``.

A change of ``limner.store.tables`` needs a new version here, written by hand, and its number in
``limner.store.schema.HEAD``. Versions that have been released are never edited.
"""
