"""The terminal view: `frame.render` draws a status, which is pure; `live` shows it on a terminal as it changes."""
