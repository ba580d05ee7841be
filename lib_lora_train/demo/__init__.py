"""`demo`: the whole loop on photos that are drawn on the spot, on any computer, with nothing to download."""
