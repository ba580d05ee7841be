"""A small drawn world: subjects made of parts, places, styles, and captions in plain English. All of it from seeds."""
