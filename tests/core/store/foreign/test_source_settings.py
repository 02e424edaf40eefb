"""What a source is called in the settings, without its secret."""

import pytest

from core.config import validate
from core.errors import ConfigError
from core.store.foreign.settings import SourceSettings


def test_a_source_needs_only_its_kind():
    """The rest is Prisma's: the table "Decision", whose "updatedAt" moves with every change."""
    source = validate(SourceSettings, {"kind": "sqlite"}, "here")
    assert (source.table, source.watermark, source.url_variable) == (
        "Decision",
        "updatedAt",
        "OVERNIGHT_SOURCE_URL",
    )


def test_a_url_in_the_settings_is_refused_and_not_repeated():
    """A password that stands in the wrong place isn't written into a log as well."""
    values = {"kind": "postgresql", "url_variable": "postgresql://me:secret@host/app"}
    with pytest.raises(
        ConfigError, match="'url_variable': holds the NAME of an environment variable"
    ) as caught:
        validate(SourceSettings, values, "here")
    assert "secret" not in str(caught.value)
