"""The parts of the HTTP interface that `rag.api` joins."""
