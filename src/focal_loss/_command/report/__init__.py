"""From what was found to one page that stands by itself: `data` is the content, `render` makes the page of it."""
