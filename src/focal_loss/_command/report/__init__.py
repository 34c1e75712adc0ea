"""The report of a fit as one HTML page without other files: `data` is its content, `render` makes the page."""
