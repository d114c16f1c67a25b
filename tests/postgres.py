"""A PostgreSQL server of its own on the loopback, where `postgres` is installed."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.served import free_port

DATABASE, USER = "dagster", "dagster"
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "unix_socket_directories=")


def installed() -> Path:
    """The folder of `initdb` and `postgres`, of the newest version there is; the test is skipped without them."""
    if (found := shutil.which("postgres")) is not None:
        return Path(found).resolve().parent
    folders = [path for pattern in _FOLDERS for path in Path("/").glob(pattern[1:]) if (path / "postgres").exists()]
    if not folders:
        pytest.skip("PostgreSQL is not installed: no `postgres` in PATH or the usual folders")
    return max(
        folders, key=lambda path: [int(part) for part in path.as_posix().replace("-", "/").split("/") if part.isdigit()]
    )


class Postgres:
    """A server with one database and a user who has a password; it can be stopped and started again.

    Attributes:
        port: On 127.0.0.1.
        password: Of the user, made up for this server.
    """

    def __init__(self) -> None:
        self._programs = installed()
        self.port, self.password = free_port(), secrets.token_urlsafe(16)
        # Not below pytest's folder: that is its owner's alone, and the server is nobody's who is root.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None  # it refuses to be run by root
        if self._user is not None:
            try:
                account = pwd.getpwnam(self._user)
            except KeyError:
                pytest.skip("PostgreSQL refuses root, and there is no user `postgres` to run it")
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        secret = self._folder / "password"
        secret.write_text(self.password)
        if self._user is not None:
            shutil.chown(secret, self._user)
        self._run(
            "initdb", "--no-sync", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--encoding=UTF8"
        )
        secret.unlink()
        self._server: subprocess.Popen[bytes] | None = None
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, DATABASE)

    @property
    def environment(self) -> dict[str, str]:
        """What `docs/deployment/dagster.postgres.yaml` reads."""
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_DB": DATABASE,
            "DAGSTER_PG_USERNAME": USER,
            "DAGSTER_PG_PASSWORD": self.password,
        }

    def start(self) -> None:
        """Start it unless it runs, and wait until it takes connections."""
        if self._server is not None:
            return
        settings = [f"-c{each}" for each in (*_FAST, f"port={self.port}", "listen_addresses=127.0.0.1")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *settings],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        for _ in range(600):
            if self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1", check=False).returncode == 0:
                return
            assert self._server.poll() is None, (self._folder / "log").read_text()
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        """Stop at once, as in a failure: connections are cut."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(60)
            self._server = None

    def ask(self, query: str) -> list[str]:
        """Lines of unaligned output."""
        done = self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-Atc", query, DATABASE)
        return done.stdout.splitlines()

    def dump(self, target: Path) -> None:
        """What a person saves of it."""
        done = self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-Fp", DATABASE)
        target.write_text(done.stdout)

    def restore(self, dump: Path) -> None:
        """Take a dump into the empty database."""
        self._run(
            "psql",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            USER,
            "-v",
            "ON_ERROR_STOP=1",
            "-q",
            DATABASE,
            given=dump.read_text(),
        )

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(
        self, program: str, *arguments: str, check: bool = True, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "LC_ALL": "C.UTF-8",
                "PGDATA": str(self._folder / "data"),
                "PGPASSWORD": self.password,
            },
            user=self._user,
            cwd=self._folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{program}: {done.stderr}"
        return done
