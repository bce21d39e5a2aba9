"""How layers are wired to a network, and how its memory is seen."""
