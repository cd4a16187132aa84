"""What a tuning race has found, in figures, sentences and the forms of other tools."""
