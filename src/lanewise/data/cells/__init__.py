"""From cells of text to columns of numbers, dates, categories or texts, and what was noticed on the way."""
