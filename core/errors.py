"""Everything Overnight raises on purpose.

    OvernightError
      ConfigError      (ValueError)    a preset, an override, a model file or the environment says something impossible
      DataError        (ValueError)    rows that can't be used
        SnapshotError                  a snapshot whose files don't match its manifest
      SourceError      (OSError)       a place rows come from can't be read
      StoreError       (OSError)       the database can't be reached or broke off; it may be back in a moment
      RecordError      (ValueError)    the database refuses what it was asked to keep, or its tables are others
        PromotionError                 the evidence for a change of champion no longer holds
        LeaseLostError                 somebody else took over what this process was working on
      BusyError        (RuntimeError)  somebody else is doing it right now
      StorageError     (OSError)       the data folder can't be written, or is full
      ModelError       (ValueError)    weights, tokenizer or chat template are missing or don't fit
      TrainingError    (RuntimeError)  a training run can't go on
        DivergedError                  the loss or the KL left the range that can be trusted
        InterruptedTraining            the training process was ended from outside; it can go on
      ExportError      (RuntimeError)  an exported file can't be made, or is not the model it should be
      ServiceError     (RuntimeError)  a server or worker can't start or can't be reached

A message says what is wrong, where, and what to do about it. Every class keeps a single message
argument, so that instances survive pickling.
"""

LONGEST = 400
"""Letters of another library's error that are passed on."""


class OvernightError(Exception):
    """The root: catch it to show one clear line to a person."""


class ConfigError(OvernightError, ValueError):
    """A preset, an override, a model file or the environment says something impossible."""


class DataError(OvernightError, ValueError):
    """Rows that can't be used."""


class SnapshotError(DataError):
    """A snapshot whose files don't match its manifest."""


class SourceError(OvernightError, OSError):
    """A place rows come from can't be read."""


class StoreError(OvernightError, OSError):
    """The database can't be reached or broke off; it may be back in a moment."""


class RecordError(OvernightError, ValueError):
    """The database refuses what it was asked to keep, or its tables are not those of this code."""


class PromotionError(RecordError):
    """The evidence for a change of champion no longer holds."""


class LeaseLostError(RecordError):
    """Somebody else took over what this process was working on."""


class BusyError(OvernightError, RuntimeError):
    """Somebody else is doing it right now."""


class StorageError(OvernightError, OSError):
    """The data folder can't be written, or is full."""


class ModelError(OvernightError, ValueError):
    """Weights, tokenizer or chat template are missing or don't fit."""


class TrainingError(OvernightError, RuntimeError):
    """A training run can't go on."""


class DivergedError(TrainingError):
    """The loss or the KL left the range that can be trusted."""


class InterruptedTraining(TrainingError):  # noqa: N818  (an interruption, and it may pass)
    """The training process was ended from outside; started again, it goes on from its last checkpoint."""


class ExportError(OvernightError, RuntimeError):
    """An exported file can't be made, or is not the model it should be."""


class ServiceError(OvernightError, RuntimeError):
    """A server or worker can't start or can't be reached."""


def one_line(error: BaseException | str) -> str:
    """What another library's error says, on one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} …"


FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a function that somebody else wrote may end with: a reward, a redaction."""
