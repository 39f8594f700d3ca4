"""One engine per registry: SQLite or PostgreSQL, one writer at a time, errors in words, safe after fork."""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, table, text
from sqlalchemy import column as named
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from markai.errors import MissingExtraError, PayloadTakenError, RegistryError
from markai.provenance.registry.schema import VERSION, VERSION_TABLE, VERSIONS

PATIENCE = 30  # seconds that a writer waits for the others
LOOK_AGAIN = 0.002  # seconds until a writer in SQLite tries again
WRITES = "markai_writes"
WRITER_LOCK = int.from_bytes(b"markai", "big")  # PostgreSQL's advisory lock; one per database
LOCKED = "{name} is locked: others have been writing for {patience} s - try again when they are done"
DAMAGED = "{name} is damaged or not a registry: {reason} - restore it from a backup"
FORBIDDEN = "{name} cannot be written: {reason} - check who may write there"
FULL = "{name} cannot grow: {reason} - free some space; nothing was recorded"
SENTENCES = {  # by what the databases' own messages hold
    "is locked": LOCKED,
    "lock timeout": LOCKED,
    "not a database": DAMAGED,
    "malformed": DAMAGED,
    "readonly": FORBIDDEN,
    "permission denied": FORBIDDEN,
    "is full": FULL,
    "No space left": FULL,
}
EXAMPLES = "sqlite:///markai.db or postgresql://user:password@host/database"


class Database:
    """Connections to one registry. ``name`` says which, without the password.

    Raises:
        RegistryError: if the URL is not one of a registry, or nothing answers there.
        MissingExtraError: if PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        parsed = _parse(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            path = Path(parsed.database or "").absolute()
            _claim_file(path, create)
            self.name, self._secret = str(path), ""
            self._engine = _sqlite_engine(parsed.set(database=str(path)))
        else:
            self.name = f"postgresql://{parsed.host or ''}/{parsed.database or ''}"
            self._secret = str(parsed.password or parsed.query.get("password", ""))
            self._engine = _postgresql_engine(parsed)
        _open_databases.add(self)
        weakref.finalize(self, self._engine.dispose)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Hold a connection that reads the registry as it is at one moment.

        Raises:
            RegistryError: if the database fails.
        """
        with self._errors_in_words(), self._engine.connect() as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold the only transaction that writes; it is committed at the end, and leaves nothing where something fails.

        Raises:
            RegistryError: if the database fails, or others kept writing for longer than PATIENCE.
            PayloadTakenError: if a payload or a manifest is recorded already.
        """
        with (
            self._errors_in_words(),
            self._engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:  # SQLite's BEGIN IMMEDIATE has it already
                connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
                # The statement after this one sees what the holder before committed.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"))
            yield connection

    def prepare(self, *, create: bool) -> None:
        """Make the tables, or bring them up to VERSION.

        Raises:
            RegistryError: if that is not possible, or not wanted.
        """
        with self.reading() as connection:
            version = _version(connection)
        if version == VERSION:
            return
        if version is not None and version not in VERSIONS:
            raise RegistryError(f"{self.name} was written by a newer markai (schema {version}) - update markai")
        if not create:
            what = "holds no registry" if version is None else f"has the older schema {version}"
            raise RegistryError(f"{self.name} {what} - mark something with it first, or Registry.open(url)")
        if self.is_sqlite:
            self._keep_a_log()
        with self.writing() as connection:
            if _version(connection) != VERSION:  # two processes may have come here
                _migrate(connection)

    def renew(self) -> None:
        """Forget the connections of the process that this one was forked from, and leave them open for it."""
        _inherited.append(self._engine.pool)
        self._engine.dispose(close=False)

    def close(self) -> None:
        """Close the connections; the next use would open new ones."""
        self._engine.dispose()

    def _keep_a_log(self) -> None:
        # Readers then never wait for writers. SQLite does not wait by itself for the lock that this needs.
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                with self._errors_in_words():
                    raw = self._engine.raw_connection()
                    try:
                        raw.cursor().execute("PRAGMA journal_mode = WAL")
                    finally:
                        raw.close()
                return
            except RegistryError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise _refusal(self.name, str(error.orig)) from None
        except (DBAPIError, sqlite3.Error) as error:
            raise RegistryError(self._explained(error)) from None
        except SQLAlchemyError as error:
            raise RegistryError(f"{self.name}: {self._without_secret(error)}") from None

    def _explained(self, error: DBAPIError | sqlite3.Error) -> str:
        reason = self._without_secret(error.orig if isinstance(error, DBAPIError) else error)
        for sign, sentence in SENTENCES.items():
            if sign in reason:
                return sentence.format(name=self.name, reason=reason, patience=PATIENCE)
        if isinstance(error, OperationalError) and not self.is_sqlite:
            return f"{self.name} cannot be reached: {reason} - check the URL, and that the server runs"
        return f"{self.name}: {reason}"

    def _without_secret(self, error: object) -> str:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return first.replace(self._secret, "***") if self._secret else first


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError, TypeError):
        raise RegistryError(f"this is not the URL of a registry - give one like {EXAMPLES}") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise RegistryError(f"a registry is in SQLite or PostgreSQL, not {parsed.drivername} - {EXAMPLES}")
    if parsed.get_backend_name() == "sqlite":
        if parsed.query or not parsed.database or parsed.database.startswith((":memory:", "file:")):
            raise RegistryError("a registry in SQLite is a file, named by its path alone - sqlite:///markai.db")
    elif "@" in (parsed.host or ""):  # the rest of a password that has one
        raise RegistryError("the URL has two @ - write that of the password as %40")
    return parsed


def _claim_file(path: Path, create: bool) -> None:
    """Make a file that only its owner can read, where there is none; SQLite gives its log the same permissions."""
    try:
        if create:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        else:
            path.stat()
    except FileExistsError:
        pass
    except FileNotFoundError:
        what = "its directory does not exist" if create else "there is no such file"
        raise RegistryError(f"cannot open the registry {path}: {what} - check the path") from None
    except OSError as error:
        raise RegistryError(f"cannot open the registry {path}: {error.strerror} - check the path") from error
    if path.is_dir():
        raise RegistryError(f"cannot open the registry {path}: it is a directory - name a file in it")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, pool_size=5, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver guesses
        for pragma in (f"busy_timeout = {int(1000 * PATIENCE)}", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            _take_turn(connection.connection.dbapi_connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _take_turn(connection: Any) -> None:
    """Begin to write, once nobody else does.

    SQLite would wait by itself, but the longer one has waited the less often it looks, up to ten times a second: among
    eight processes that append without a pause some waited for seconds.
    """
    give_up = time.monotonic() + PATIENCE
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(LOOK_AGAIN)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE)}")


def _postgresql_engine(url: URL) -> Engine:
    given = {"application_name": "markai", "connect_timeout": "10", **url.query}
    try:
        return create_engine(
            url.set(query=given),
            hide_parameters=True,
            pool_pre_ping=True,
            max_overflow=-1,
            isolation_level="READ COMMITTED",  # the writer's lock relies on it
        )
    except ImportError:
        raise MissingExtraError.naming("psycopg", "postgres", "registries in PostgreSQL") from None


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(select(named("version_num")).select_from(table(VERSION_TABLE)))
    return version


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", f"{__package__}:migrations")
    command.upgrade(config, VERSION)


def _refusal(name: str, reason: str) -> RegistryError:
    if "manifest_id" in reason:
        return PayloadTakenError(f"{name} has a record of this manifest already - sign again for a new manifest id")
    if "payload" in reason:
        return PayloadTakenError(f"{name} has a record with this payload and key already - take one from reserve()")
    return RegistryError(f"{name}: {reason.strip().splitlines()[0]}")


# Connections of the parent process must not be closed in the child either, so something has to hold them.
_inherited: list[Any] = []
_open_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_open_databases):
        database.renew()


os.register_at_fork(after_in_child=_after_fork)
