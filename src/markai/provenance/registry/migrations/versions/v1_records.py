"""Records, what they contain, and the Merkle log over them; rows can only be added.

Revision ID: v1
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None

TABLES = ("markai_records", "markai_contents", "markai_nodes")
MESSAGE = "the markai registry is append-only"
BANDS = range(4)


def upgrade() -> None:
    """Make the tables, their indexes, and the triggers that refuse to change or remove rows."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "markai_records",
        sa.Column("number", number, primary_key=True, autoincrement=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("manifest_id", sa.Text),
        sa.Column("claim", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        *(sa.Column(f"band{band}", sa.BigInteger) for band in BANDS),
        sa.UniqueConstraint("payload", "key_id", name="markai_records_payload"),
        sa.UniqueConstraint("manifest_id", name="markai_records_manifest_id"),
    )
    for band in BANDS:
        op.create_index(f"markai_records_band{band}", "markai_records", [f"band{band}"], postgresql_include=["number"])
    op.create_table(
        "markai_contents",
        sa.Column("number", number, sa.ForeignKey("markai_records.number"), primary_key=True, autoincrement=False),
        sa.Column("manifest", sa.LargeBinary, nullable=False),
        sa.Column("sketch", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "markai_nodes",
        sa.Column("position", number, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    {"sqlite": _guard_sqlite, "postgresql": _guard_postgresql}[op.get_context().dialect.name]()


def _guard_sqlite() -> None:
    for table in TABLES:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )
    # INSERT OR REPLACE removes rows without asking the triggers above.
    for table, key in zip(TABLES, ("number", "number", "position"), strict=True):
        op.execute(
            f"CREATE TRIGGER {table}_insert BEFORE INSERT ON {table} "
            f"WHEN NEW.{key} IS NOT (SELECT coalesce(max({key}), -1) + 1 FROM {table}) "
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}, and without gaps'); END"
        )
    for column, condition in {
        "payload": "payload = NEW.payload AND key_id = NEW.key_id",
        "manifest_id": "manifest_id = NEW.manifest_id",
    }.items():
        op.execute(
            f"CREATE TRIGGER markai_records_{column}_insert BEFORE INSERT ON markai_records "
            f"WHEN EXISTS (SELECT 1 FROM markai_records WHERE {condition}) "
            f"BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: markai_records.{column}'); END"
        )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION markai_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION markai_append_only()"
        )
