"""Alembic's entry: runs on the connection that `Ledger.migrate` hands it."""

from alembic import context

from shared.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
