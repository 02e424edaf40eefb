"""The report's part about an export: what was published, and whether the files are the model."""

from collections.abc import Iterator

from core.exporting.results import Agreement, Release
from core.reports.markdown import bold, bullets, byte_size, heading, percent, table


def release_section(release: Release) -> Iterator[str]:
    """What the exported files are, and how far they are from the model they were made from."""
    yield heading("Export")
    yield f"{bold(str(release.check))}: {release.reason}"
    if release.agreements:
        yield table(
            (
                "file",
                "size",
                "bits a weight",
                "same decision",
                "same next token",
                "KL, nats a token",
                "largest error",
                "check",
            ),
            [_agreement(row) for row in release.agreements],
        )
        yield bullets(f"{row.level}: {warning}" for row in release.agreements for warning in row.warnings)
    yield table(
        ("published", "size", "sha256", "folder"),
        [
            (made.format, byte_size(sum(made.files.values())), made.sha256[:12], made.path)
            for made in release.published
        ],
    )


def _agreement(row: Agreement) -> tuple[object, ...]:
    return (
        row.level,
        byte_size(row.bytes),
        f"{row.bits_per_weight:.2f}",
        percent(row.choice),
        percent(row.top1),
        row.kl,
        row.error_max,
        str(row.status),
    )
