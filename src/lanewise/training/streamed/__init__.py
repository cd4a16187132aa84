"""Tables larger than the memory: their rows on disk, shuffled in windows and prepared as they are read."""
