"""The report's part about an export: what was published, and whether the files are the model."""

from collections.abc import Iterator

from core.exporting.results import Agreement, Registration, Release
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
            [_agreement(row) for row in (*release.agreements, *release.left_out)],
        )
        yield bullets(f"{row.level}: {warning}" for row in release.agreements for warning in row.warnings)
        yield bullets(f"{row.level} is left out: {row.reason}" for row in release.left_out)
    yield table(
        ("published", "size", "sha256", "folder"),
        [
            (made.format, byte_size(sum(made.files.values())), made.sha256[:12], made.path)
            for made in release.published
        ],
    )
    if release.modelfile is not None:
        yield f"`{release.modelfile.file}` has a Modelfile: {release.modelfile.note}."
    if release.ollama is not None:
        yield from _registration(release.ollama)


def _registration(made: Registration) -> Iterator[str]:
    """What became of the file at the server, and what is left to do."""
    yield heading("Ollama", 3)
    yield f"{bold(str(made.check))}: {made.reason}"
    yield bullets(made.compared)
    if made.deployed:
        yield f"`{made.served_name}` at {made.url} is this model now; `release/rollback` brings back the one before."
    elif made.candidate is not None:
        yield (
            f"`{made.served_name}` stands for what it stood for. To move it: "
            f"`prefect deployment run release/deploy --param candidate={made.candidate}`, with this run's `use_case`, "
            "`slot` and `preset`."
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
