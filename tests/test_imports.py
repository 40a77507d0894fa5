"""The layers: a module imports only from modules above it, wherever in it the import stands."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    "errors types questions config keys screening readers.common readers.text readers.tables readers.office readers.markup readers.pdf"
    " folding loading chunking models.child models.weights models.embedder models.llm models.embedding_process"
    " models.llama_process schema index storing retrieval bylines marks generation claims conflicts attribution diagnosis tracing ingesting pipeline uploads client"
    " conversations backups http.problems http.bodies http.opening http.origin http.access http.streams http.turns http.spans http.observing"
    " http.openai_shape http.conversations http.pages http.documents http.evals http.backups http.description mcp langchain api serving doctor cli"
).split()
MODULES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "rag").rglob("*.py")}
JOINS = {"rag.cli", "rag.serving"}  # may reach for ui and eval, inside their functions
KNOWN_BY_ONE = {  # foreign library -> the module behind which it stands
    "chromadb": "rag.index",
    "tantivy": "rag.index",
    "langchain": "rag.models.llm",
    "langchain_openai": "rag.models.llm",
    "sentence_transformers": "rag.models.embedding_process",
    "torch": "rag.models.embedding_process",
    "xllamacpp": "rag.models.llama_process",
    "tokenizers": "rag.models.embedder",
    "tiktoken": "rag.generation",
    "pypdfium2": "rag.readers.pdf",
    "trafilatura": "rag.readers.markup",
    "docx": "rag.readers.office",
    "pptx": "rag.readers.office",
    "openpyxl": "rag.readers.tables",
    "py3langid": "rag.loading",
    "sentencex": "rag.chunking",
    "mcp": "rag.mcp",
    "prometheus_client": "rag.http.observing",
    "watchfiles": "rag.cli",
}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether it is imported with the file) of each import; `from rag import x` as rag.x."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = set(ast.walk(ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in at_once
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in {path}"
            if node.module == "rag":
                for alias in node.names:
                    yield f"rag.{alias.name}", node in at_once
            else:
                yield node.module or "", node in at_once


def packages(folder: str) -> dict[Path, set[str]]:
    return {path: {name for name, _ in imports(path)} for path in (ROOT / folder).rglob("*.py")}


def test_every_module_has_its_layer() -> None:
    names = {name.removeprefix("rag.") for name in MODULES.values() if not name.endswith("__init__")}
    assert names == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_module_imports_only_from_those_above_it(layer: str) -> None:
    path = ROOT / "rag" / f"{layer.replace('.', '/')}.py"
    above = {f"rag.{name}" for name in LAYERS[: LAYERS.index(layer)]}
    assert {name for name, _ in imports(path) if name.split(".")[0] == "rag"} <= above


def test_only_what_joins_the_parts_reaches_for_ui_and_eval_and_only_when_it_is_called() -> None:
    for path, module in MODULES.items():
        for name, at_once in imports(path):
            if name.split(".")[0] in ("ui", "eval"):
                assert module in JOINS, f"{module} imports {name}"
                assert not at_once, f"{module} imports {name} with itself"


def test_ui_and_eval_know_neither_each_other_nor_the_command_line() -> None:
    for folder, other in (("ui", "eval"), ("eval", "ui")):
        for path, names in packages(folder).items():
            assert not any(name == "rag.cli" or name.split(".")[0] == other for name in names), path


@pytest.mark.parametrize("library", KNOWN_BY_ONE)
def test_a_foreign_library_stands_behind_one_module(library: str) -> None:
    knowing = {module for path, module in MODULES.items() if library in {n.split(".")[0] for n, _ in imports(path)}}
    assert knowing == {KNOWN_BY_ONE[library]}


def loaded(statement: str) -> set[str]:
    """The packages that are loaded after a statement, in a process of its own."""
    script = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = {"chromadb", "gradio", "langchain", "matplotlib", "numpy", "pydantic", "tantivy", "torch", "uvicorn"}
    assert not heavy & loaded("import rag.cli")


def test_the_pipeline_leaves_the_models_libraries_to_the_child_processes() -> None:
    assert not {"torch", "sentence_transformers", "xllamacpp", "gradio"} & loaded("import rag.pipeline")


def test_the_public_names_are_there() -> None:
    import rag

    assert all(getattr(rag, name).__name__ == name for name in rag.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rag.nothing
