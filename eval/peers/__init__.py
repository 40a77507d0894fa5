"""Other libraries behind one interface, for `rag bench peers`. Each file runs in a process of its own, see child.py."""
