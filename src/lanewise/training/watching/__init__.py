"""What is seen of lanes while they train: divergence, signs that they learn badly, progress."""
