"""Bytes of one file -> its text: a module for each family of formats, a small function for each media type."""
