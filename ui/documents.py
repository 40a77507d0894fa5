"""The documents view -> HTML, pure: where files are brought in, and what is indexed. Uploads are shown by documents.js."""

from collections.abc import Sequence
from urllib.parse import urlencode

from rag.index import Stored
from rag.types import Flag
from ui.render import esc
from ui.words import Words

SHOWN = 300  # documents that the list shows; the others are searched for


def render_documents_view(words: Words, megabytes: int) -> str:
    """The frame, filled and shown by documents.js. `megabytes`: of the largest file that is taken."""
    return (
        f'<section class="fn-view" aria-labelledby="fn-documents-title"><h2 id="fn-documents-title" tabindex="-1">'
        f'{words("view.documents")}</h2><div id="fn-drop" hidden><p>{words("drop")} '
        f'<button type="button" data-choose="files">{words("choose_files")}</button> '
        f'<button type="button" data-choose="folder">{words("choose_folder")}</button></p>'
        f'<p class="fn-small">{words("taken", megabytes=megabytes)}</p>'
        '<input type="file" id="fn-files" multiple hidden><input type="file" id="fn-folder" webkitdirectory hidden></div>'
        f'<section id="fn-uploads" aria-label="{words("uploads")}" hidden><header><h3>{words("uploads")}</h3>'
        f'<p role="status"></p><button type="button" data-do="clear-uploads">{words("clear_uploads")}</button></header>'
        f'<ul></ul></section><input type="search" id="fn-search-documents" placeholder="{words("search_documents")}" '
        f'aria-label="{words("search_documents")}" autocomplete="off"><p id="fn-documents-told" role="status"></p>'
        '<div id="fn-stored"></div></section>'
    )


def render_documents(
    documents: Sequence[Stored] | None, sizes: Sequence[int | None], words: Words, *, writes: bool, search: str = ""
) -> str:
    """The list. None: not known yet. `sizes` in bytes of the first SHOWN, None where a file is gone."""
    if documents is None:
        return f'<p class="fn-empty" data-wait="true">{words("opening")}</p>'
    may = "" if writes else f'<p class="fn-read-only">{words("read_only")}</p>'
    if not documents:
        empty = words("no_document_found") if search else words("nothing_indexed")
        return f'{may}<p class="fn-empty" data-writes="{str(writes).lower()}">{empty}</p>'
    total = sum(document.passages for document in documents)
    rows = "".join(_row(d, size, words, writes=writes) for d, size in zip(documents, sizes, strict=False))
    more = len(documents) - SHOWN
    names = ("document", "size", "passages", "flags", *(("actions",) if writes else ()))
    head = "".join(f'<th scope="col">{words(f"column.{name}")}</th>' for name in names)
    return (
        f'{may}<table class="fn-documents" data-writes="{str(writes).lower()}"><caption>{words("indexed")}: '
        f"{words.count('document', len(documents))}, {words.count('passage', total)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        + (f'<p class="fn-empty">{words("more_documents", n=f"{more:,}")}</p>' if more > 0 else "")
    )


def _row(d: Stored, size: int | None, words: Words, *, writes: bool) -> str:
    title, source = esc(d.title or d.source), esc(d.source)
    address = esc(f"/v1/documents/text?{urlencode({'source': d.source}, errors='replace')}")
    actions = (
        f'<td class="fn-acts"><button type="button" data-do="reindex" title="{esc(words("reindex_title", title=d.title or d.source))}">'
        f'{words("reindex")}</button><button type="button" data-do="delete" '
        f'title="{esc(words("delete_title", title=d.title or d.source))}">{words("delete")}</button></td>'
    )
    cells = (
        ("size", _size(size) if size is not None else words("file_gone")),
        ("passages", f"{d.passages:,}"),
        ("flags", _flags(d.flags, words)),
    )
    return (
        f'<tr data-source="{source}"><th scope="row"><a href="{address}" target="_blank" rel="noopener" dir="auto" '
        f'title="{esc(words("text_title", source=d.source))}">{title}</a><code>{source}</code>'
        f'<span class="fn-row-told" role="status"></span></th>'
        + "".join(f'<td data-column="{words(f"column.{name}")}">{cell}</td>' for name, cell in cells)
        + (actions if writes else "")
        + "</tr>"
    )


def _flags(flags: Sequence[Flag], words: Words) -> str:
    """A document that speaks to a model, or hides something from its reader, says so."""
    if not flags:
        return f'<span class="fn-none">{words("no_flags")}</span>'
    items = "".join(f'<li>{words(f"flag.{flag.kind}")}: <q dir="auto">{esc(flag.quote)}</q></li>' for flag in flags)
    return f"<details><summary>{words.count('flag', len(flags))}</summary><ul>{items}</ul></details>"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
