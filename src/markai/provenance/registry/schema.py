"""The registry's tables as queries see them; ``migrations`` makes them, and a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

# The newest revision in migrations/versions, and all that this markai can bring up to it.
VERSION = "v1"
VERSIONS = ("v1",)
VERSION_TABLE = "markai_version"

metadata = MetaData()
Number = BigInteger().with_variant(Integer(), "sqlite")  # SQLite keeps rows in the order of an INTEGER key only

records = Table(
    "markai_records",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("manifest_id", Text),
    Column("claim", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    *(Column(f"band{band}", BigInteger) for band in range(4)),
    UniqueConstraint("payload", "key_id", name="markai_records_payload"),
    UniqueConstraint("manifest_id", name="markai_records_manifest_id"),
    *(Index(f"markai_records_band{band}", f"band{band}", postgresql_include=["number"]) for band in range(4)),
)

# Apart from the records: these are kilobytes, and the records stay close together without them.
contents = Table(
    "markai_contents",
    metadata,
    Column("number", Number, ForeignKey("markai_records.number"), primary_key=True, autoincrement=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
)

nodes = Table(
    "markai_nodes",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
