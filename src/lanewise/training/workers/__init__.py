"""Worker processes and threads: how they start, what they are told, and the data that they share."""
