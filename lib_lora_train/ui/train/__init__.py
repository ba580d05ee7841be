"""What the Train tab shows and does, without gradio: `scene` carries out what is clicked, `desk` holds what the server
knows, `form` checks the options, `*_html` and `chart` draw. The tab itself is `ui.train_tab`."""
