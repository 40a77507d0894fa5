"""Folders of documents, and what an ingest made of them."""

from pathlib import Path

from rag.ingesting import IngestReport


def outcome(report: IngestReport) -> dict[str, object]:
    """What happened, without what did not."""
    shown = {name: getattr(report, name) for name in ("added", "unchanged", "updated", "removed")}
    shown |= {name: tuple(Path(f.path).name for f in getattr(report, name)) for name in ("failed", "skipped")}
    return {name: value for name, value in shown.items() if value}


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder
