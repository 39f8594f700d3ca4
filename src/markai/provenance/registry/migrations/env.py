"""Alembic's entry: runs the migrations on the connection, and in the transaction, that it is handed."""

from alembic import context

from markai.provenance.registry.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
