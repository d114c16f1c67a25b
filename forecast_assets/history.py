"""Where Dagster keeps its history: a home with SQLite by default, PostgreSQL where its `dagster.yaml` says so."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from resources.lake import Lake, LakeError

_CONNECT_S = 3
"""A server that has not answered by then is asked no more."""


class HistoryUnreachableError(LakeError):
    """Dagster's history cannot be opened.

    Attributes:
        where: The database, without its password.
        reason: Why not.
    """

    def __init__(self, where: str, reason: str, remedy: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"Dagster's history in {where} cannot be opened: {reason}. Nothing was begun; {remedy}")


class HistoryWriteError(LakeError):
    """Dagster could not write down what it did.

    Attributes:
        home: Dagster's home.
        reason: What its database said.
    """

    def __init__(self, home: Path, reason: str) -> None:
        self.home, self.reason = home, reason
        database = postgres_of(home)
        where = home if database is None else database.where
        remedy = "free space on its volume" if database is None else "see to the server"
        super().__init__(
            f"Dagster cannot keep its history in {where}: {reason}. Nothing is half-written; {remedy}, then run "
            "`forecast refresh` again"
        )


@dataclass(frozen=True)
class Postgres:
    """The `storage.postgres` of a `dagster.yaml`, as written: values, or `{env: NAME}`.

    Attributes:
        config: What is below it.
    """

    config: Mapping[str, Any]

    @property
    def unset(self) -> list[str]:
        """The variables that it names and nobody has set."""
        parts = self.config.get("postgres_db", self.config)
        named = [value["env"] for value in parts.values() if isinstance(value, dict) and "env" in value]
        return [name for name in named if not os.environ.get(name)]

    @property
    def where(self) -> str:
        """Server and database in words, never the password."""
        if "postgres_db" not in self.config:
            return "PostgreSQL"
        host, port, name = (_value(self.config["postgres_db"].get(key)) for key in ("hostname", "port", "db_name"))
        return f"PostgreSQL at {host or 'an unknown host'}:{port or 5432}, database {name or 'unknown'}"

    def check(self) -> None:
        """Ask for a connection, and wait three seconds at most; Dagster alone would try for twelve.

        Raises:
            HistoryUnreachableError: There is none to be had: no extra, a variable missing, no server, wrong password.
        """
        if find_spec("dagster_postgres") is None:
            raise HistoryUnreachableError(
                self.where, "dagster-postgres is not installed", "pip install 'forecast-assets[postgres]'"
            )
        if self.unset:
            names = ", ".join(self.unset)
            raise HistoryUnreachableError(self.where, f"not set in the environment: {names}", "set it and try again")
        import sqlalchemy
        from dagster_postgres.utils import get_conn_string

        parts = {key: _value(value) for key, value in self.config.get("postgres_db", {}).items()}
        url = get_conn_string(**parts) if parts else _value(self.config["postgres_url"])
        engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": _CONNECT_S})
        try:
            engine.connect().close()
        except sqlalchemy.exc.OperationalError as error:
            remedy = "start the server or correct the DAGSTER_PG_... variables, and try again"
            raise HistoryUnreachableError(self.where, database_said(error), remedy) from error
        finally:
            engine.dispose()


def dagster_home(lake: Lake) -> Path:
    """Dagster's home: `DAGSTER_HOME`, or a folder for this lake.

    A lake is a world of its own; its history in Dagster's UI should not be mixed with another's.
    """
    return Path(os.environ.get("DAGSTER_HOME") or lake.beside / "_dagster").resolve()


def postgres_of(home: Path) -> Postgres | None:
    """The PostgreSQL that a home keeps its history in; None where that is SQLite.

    Raises:
        HistoryUnreachableError: Its `dagster.yaml` cannot be read.
    """
    file = home / "dagster.yaml"
    if not file.is_file():
        return None
    try:
        config = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise HistoryUnreachableError(str(home), f"{file}: {error}", "correct the file") from error
    storage = (config or {}).get("storage") or {}
    return Postgres(storage["postgres"]) if "postgres" in storage else None


def write_errors() -> tuple[type[Exception], ...]:
    """What Dagster raises where its database does not take what it writes."""
    from sqlalchemy.exc import OperationalError

    if find_spec("dagster_postgres") is None:
        return (OperationalError,)
    from dagster_postgres.utils import DagsterPostgresException

    return (OperationalError, DagsterPostgresException)


def database_said(error: BaseException) -> str:
    """What the database itself said, without what is said around it."""
    while getattr(error, "orig", None) is None and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _value(given: Any) -> Any:  # noqa: ANN401 - a scalar of YAML
    return os.environ.get(given["env"]) if isinstance(given, dict) else given
