"""What people have as training data, and the objects that files name."""
