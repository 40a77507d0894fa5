"""Keys of the endpoint. Only their hashes are kept: a key is shown once, when it is made."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock

from rag.errors import InputError, StoreError

KEYS_FILE = "keys.json"  # in RAG_HOME, readable by its owner only
NAME = re.compile(r"[\w.@-]{1,64}")

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")  # each allows what those before it allow


@dataclass(frozen=True, slots=True)
class Key:
    """`sha256` is enough against guessing, since the keys themselves are 32 random bytes."""

    name: str
    scope: Scope
    per_minute: int | None  # requests; None: no limit
    made: str
    sha256: str


def allows(held: Scope, needed: Scope) -> bool:
    return SCOPES.index(held) >= SCOPES.index(needed)


class Keys:
    """The keys of a home folder. What another process adds or revokes counts from its next request on."""

    def __init__(self, home: Path) -> None:
        self.file = home / KEYS_FILE
        self._read: tuple[object, tuple[Key, ...]] = (None, ())

    def all(self) -> tuple[Key, ...]:
        """Raises StoreError: a file that cannot be read must not open what it was to close."""
        try:
            status = self.file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._read[0] != stamp:
                rows = json.loads(self.file.read_text(encoding="utf-8"))
                self._read = (stamp, tuple(Key(**row) for row in rows))
        except FileNotFoundError:
            self._read = (None, ())
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"The keys in {self.file} cannot be read: {error}. Mend the file, or delete it."
            ) from error
        return self._read[1]

    def find(self, secret: str) -> Key | None:
        digest = _hash(secret)
        return next((key for key in self.all() if secrets.compare_digest(key.sha256, digest)), None)

    def add(self, name: str, scope: Scope, per_minute: int | None = None) -> str:
        """The new key. Raises InputError for a name that is taken or no name."""
        if not NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a key: up to 64 letters, digits and . @ _ -.", "name")
        secret = f"fn_{secrets.token_urlsafe(32)}"
        with self._changing():
            keys = self.all()
            if any(key.name == name for key in keys):
                raise InputError(f"There is a key {name!r} already: `rag keys revoke {name}` first.", "name")
            made = datetime.now(UTC).isoformat(timespec="seconds")
            self._write([*keys, Key(name, scope, per_minute, made, _hash(secret))])
        return secret

    def revoke(self, name: str) -> None:
        """Raises InputError."""
        with self._changing():
            left = [key for key in self.all() if key.name != name]
            if len(left) == len(self.all()):
                raise InputError(f"There is no key {name!r}. `rag keys list` lists them.", "name")
            self._write(left)

    def _changing(self) -> FileLock:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.file.with_suffix(".lock"))

    def _write(self, keys: Sequence[Key]) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump([asdict(key) for key in keys], file, indent=1)
        fresh.replace(self.file)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
