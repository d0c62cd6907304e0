"""What alembic runs: the versions up to the one asked for, on the connection and in the transaction it is given."""

from alembic import context

from limner.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
