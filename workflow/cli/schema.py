"""``workflow schema``: the JSON Schemas of the file and of what a run writes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from workflow.cli.arguments import tell
from workflow.run.exit_code import ExitCode


@click.command()
@click.option("--dir", "folder", type=click.Path(file_okay=False, path_type=Path), default="schemas", show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; say which files are not current, and exit 1 if any is.")
def schema(folder: Path, *, check: bool) -> int:
    """Write the JSON Schemas of pipeline files, faults files, reports, manifests and events into a folder."""
    stale = []
    for name, text in schema_texts().items():
        path = folder / name
        if check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(path)
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise click.UsageError(f"--dir: cannot write {path}: {error.strerror or error}") from None
            tell(path)
    for path in stale:
        click.echo(f"{path} is not current; python -m workflow schema --dir {folder} writes it", err=True)
    return ExitCode.FAILED if stale else ExitCode.SUCCEEDED


def schema_texts() -> dict[str, str]:
    """Answer the text of each schema file by its name."""
    from workflow.harness.faults_file import faults_schema
    from workflow.report.schemas import event_schema, manifest_schema, report_schema
    from workflow.spec.schema import pipeline_schema

    schemas = {
        "pipeline.schema.json": pipeline_schema(),
        "faults.schema.json": faults_schema(),
        "report.schema.json": report_schema(),
        "event.schema.json": event_schema(),
        "manifest.schema.json": manifest_schema(),
    }
    return {name: json.dumps(value, indent=2, sort_keys=True) + "\n" for name, value in schemas.items()}
