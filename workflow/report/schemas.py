"""The JSON Schemas of what a run writes."""

from __future__ import annotations


def report_schema() -> dict[str, object]:
    """Answer the schema of ``report.json``."""
    from workflow.report.models import Report

    return {
        "$schema": DRAFT,
        "title": "report.json of workflow",
        **_without(Report.model_json_schema(mode="serialization")),
    }


def manifest_schema() -> dict[str, object]:
    """Answer the schema of ``manifest.json``."""
    from workflow.report.models import Manifest

    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": DRAFT, "title": "manifest.json of workflow", **_without(schema)}


def event_schema() -> dict[str, object]:
    """Answer the schema of one line of ``events.jsonl``."""
    from pydantic import TypeAdapter

    from workflow.report.models import Event

    schema = TypeAdapter(Event).json_schema(mode="serialization")
    return {"$schema": DRAFT, "title": "a line of events.jsonl of workflow", **_without(schema)}


DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _without(schema: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key not in {"$schema", "title"}}
