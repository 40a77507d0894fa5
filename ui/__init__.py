"""The chat window: `render` turns answers into HTML, `app` puts them on a page."""
