"""The page inside the WebUI: the only package that imports gradio.

What is shown is worked out by pure modules (`preview`, `choices`, `shelf`, `store`), turned into HTML by `*_html` and
put on the page by `accordion` and `wildcards_tab`. Everything that comes from the page is checked again on the server.
"""
