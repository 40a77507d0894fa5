"""Everything that the page says, in each of its languages. What documents, models and errors say is not here."""

from collections.abc import Mapping
from typing import Literal, get_args

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
IN_SCRIPTS = "js."  # keys that begin so are for the scripts of the page

EN = {
    # the frame
    "tagline": "Ask your documents. Every sentence carries a footnote to the exact words that support it.",
    "views": "Views",
    "view.ask": "Ask",
    "view.documents": "Documents",
    # the documents
    "document.one": "{n} document",
    "document.many": "{n} documents",
    "passage.one": "{n} passage",
    "passage.many": "{n} passages",
    "flag.one": "{n} flag",
    "flag.many": "{n} flags",
    "drop": "Drop files, folders or zip archives anywhere on this page, or",
    "choose_files": "Choose files…",
    "choose_folder": "Choose a folder…",
    "taken": "Text, Markdown, web pages, PDF, Word, PowerPoint, Excel, tables, books, notebooks, mail, JSON. "
    "At most {megabytes} MB each.",
    "read_only": "Your login may read, but not bring documents in or delete them: that takes a key of the scope write.",
    "uploads": "Uploads",
    "clear_uploads": "Clear what is done",
    "search_documents": "Search documents",
    "opening": "The index is being opened…",
    "nothing_indexed": "Nothing is indexed yet.",
    "no_document_found": "No document has these words in its name or title.",
    "more_documents": "and {n} more: search for them",
    "indexed": "What is indexed",
    "column.document": "Document",
    "column.size": "Size",
    "column.passages": "Passages",
    "column.flags": "Flags",
    "column.actions": "Actions",
    "file_gone": "file gone",
    "no_flags": "none",
    "reindex": "Re-index",
    "reindex_title": "Read the file of {title} again",
    "delete": "Delete",
    "delete_title": "Delete {title}",
    "text_title": "The stored text of {source}",
    "flag.order": "speaks to a model",
    "flag.citation": "wants to be cited",
    "flag.marker": "sign of a chat template",
    "flag.turn": "looks like a chat",
    "flag.hidden": "hidden text",
    "flag.invisible": "invisible characters",
    "flag.spelled": "spelled out letter by letter",
    # the scripts
    "js.delete_document": "Delete “{title}” from the index?",
    "js.deleted": "Deleted: {title}",
    "js.gone": "No longer among the documents.",
    "js.no_answer": "The server does not answer.",
    "js.sending": "sending",
    "js.queued": "waiting",
    "js.reading": "reading",
    "js.embedding": "embedding",
    "js.storing": "storing",
    "js.stored.one": "stored, {n} passage",
    "js.stored.many": "stored, {n} passages",
    "js.unchanged": "already there: {source}",
    "js.failed": "failed",
    "js.uploaded": "{n} of {total} files are through",
    "js.again": "Send again",
    "js.later": "The server is busy; trying again.",
}
ES = {
    "tagline": "Pregunte a sus documentos. Cada frase lleva una nota al pie con las palabras exactas que la respaldan.",
    "views": "Vistas",
    "view.ask": "Preguntar",
    "view.documents": "Documentos",
    "document.one": "{n} documento",
    "document.many": "{n} documentos",
    "passage.one": "{n} pasaje",
    "passage.many": "{n} pasajes",
    "flag.one": "{n} aviso",
    "flag.many": "{n} avisos",
    "drop": "Suelte archivos, carpetas o archivos zip en cualquier lugar de esta página, o bien",
    "choose_files": "Elegir archivos…",
    "choose_folder": "Elegir una carpeta…",
    "taken": "Texto, Markdown, páginas web, PDF, Word, PowerPoint, Excel, tablas, libros, cuadernos, correo, JSON. "
    "Como máximo {megabytes} MB cada uno.",
    "read_only": "Su clave permite leer, pero no añadir ni eliminar documentos: para eso hace falta una clave que permita "
    "escribir.",
    "uploads": "Archivos enviados",
    "clear_uploads": "Quitar los terminados",
    "search_documents": "Buscar documentos",
    "opening": "Se está abriendo el índice…",
    "nothing_indexed": "Todavía no hay nada indexado.",
    "no_document_found": "Ningún documento tiene estas palabras en su nombre o título.",
    "more_documents": "y {n} más: búsquelos",
    "indexed": "Lo que está indexado",
    "column.document": "Documento",
    "column.size": "Tamaño",
    "column.passages": "Pasajes",
    "column.flags": "Avisos",
    "column.actions": "Acciones",
    "file_gone": "sin archivo",
    "no_flags": "ninguno",
    "reindex": "Reindexar",
    "reindex_title": "Volver a leer el archivo de {title}",
    "delete": "Eliminar",
    "delete_title": "Eliminar {title}",
    "text_title": "El texto guardado de {source}",
    "flag.order": "se dirige a un modelo",
    "flag.citation": "quiere ser citado",
    "flag.marker": "signo de una plantilla de chat",
    "flag.turn": "parece un chat",
    "flag.hidden": "texto oculto",
    "flag.invisible": "caracteres invisibles",
    "flag.spelled": "deletreado letra por letra",
    "js.delete_document": "¿Eliminar «{title}» del índice?",
    "js.deleted": "Eliminado: {title}",
    "js.gone": "Ya no está entre los documentos.",
    "js.no_answer": "El servidor no responde.",
    "js.sending": "enviando",
    "js.queued": "en espera",
    "js.reading": "leyendo",
    "js.embedding": "calculando vectores",
    "js.storing": "guardando",
    "js.stored.one": "guardado, {n} pasaje",
    "js.stored.many": "guardado, {n} pasajes",
    "js.unchanged": "ya estaba: {source}",
    "js.failed": "falló",
    "js.uploaded": "{n} de {total} archivos terminados",
    "js.again": "Enviar de nuevo",
    "js.later": "El servidor está ocupado; se vuelve a intentar.",
}
TABLES: Mapping[Language, Mapping[str, str]] = {"en": EN, "es": ES}


class Words:
    """The words of one language: `words("delete_title", title=…)`. A key that is not there is a KeyError."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._table = TABLES[language]

    def __call__(self, key: str, **values: object) -> str:
        text = self._table[key]
        return text.format(**values) if values else text

    def count(self, noun: str, n: int) -> str:
        return self(f"{noun}.{'one' if n == 1 else 'many'}", n=f"{n:,}")

    def for_scripts(self) -> dict[str, str]:
        return {k.removeprefix(IN_SCRIPTS): text for k, text in self._table.items() if k.startswith(IN_SCRIPTS)}


WORDS: Mapping[Language, Words] = {language: Words(language) for language in LANGUAGES}
