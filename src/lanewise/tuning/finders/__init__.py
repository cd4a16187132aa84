"""Learning rates and batch sizes, each found by one short race."""
