"""A race whose teams train on several ranks: who trains which, and how all learn what was seen."""
