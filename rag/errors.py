"""Everything that can go wrong, as one tree.

RagError                 a failure with a message for the person who asked
├── InputError           what was asked or given cannot be used          CLI 2, HTTP 422
│   └── ConfigError      a setting is unknown or has a bad value         CLI 2
├── LoadError            one file cannot be read as text                 reported per file
├── StoreError           the index folder cannot be used                 CLI 1, HTTP 500
│   ├── EmptyIndexError  there is nothing to search                      CLI 1, HTTP 409
│   ├── DiskFullError    no room left; what was stored before stands     CLI 1, HTTP 507
│   └── InUseError       another process owns the folder                 CLI 1
├── BusyError            too many are waiting already                    CLI 1, HTTP 429
└── ModelError           the model failed or gave nothing                CLI 1, HTTP 502
    └── ModelTimeout     the model did not answer in time                CLI 1, HTTP 504
"""


class RagError(Exception):
    """A failure that names the thing, says why, and gives the next step."""


class InputError(RagError):
    """`field` is the name of the argument or JSON field that is at fault."""

    def __init__(self, message: str, field: str = "question") -> None:
        super().__init__(message)
        self.field = field


class ConfigError(InputError):
    def __init__(self, message: str, field: str = "settings") -> None:
        super().__init__(message, field)


class LoadError(RagError):
    pass


class StoreError(RagError):
    pass


class EmptyIndexError(StoreError):
    pass


class DiskFullError(StoreError):
    pass


class InUseError(StoreError):
    pass


class BusyError(RagError):
    """`retry_s`: seconds after which there may be room."""

    def __init__(self, message: str, retry_s: int = 5) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class ModelError(RagError):
    pass


class ModelTimeout(ModelError):  # noqa: N818 - the field's word
    pass
