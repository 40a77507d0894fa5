"""How the adapter was made with which the local model tells whether the passages answer a question."""
