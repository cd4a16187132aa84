"""Lanes of boosted and single trees: their data, their worker processes, and their team in a race."""
