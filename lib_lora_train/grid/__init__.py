"""The epoch grid: find the epochs of a run, plan and order the pictures, remember them, show them, keep one.

Pure: standard library, Pillow, `prompt` and `files`. Whatever draws the pictures is handed in (`render.Renderer`).
"""
