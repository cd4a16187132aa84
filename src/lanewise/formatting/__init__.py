"""How numbers, names and foreign text are written for people: one way for terminal, report and sentences."""
