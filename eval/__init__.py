"""Question files, measures, runs and their reports. Imports `rag.types` and `rag.errors` only."""
