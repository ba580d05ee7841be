"""Paths and bytes: allowed roots, atomic writes, locks, image probing. Imports nothing of ours but `errors`."""
