"""How the small base and its judge are made, from nothing: `python -m tools.small_base --out DIR`."""
