"""The page of a grid: one `index.html` that asks nothing of the network and works from a disk.

`page.html`, `page.css` and `page.js` are put together by `build`.
"""
