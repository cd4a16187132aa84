"""Lanes of a user's own module: what a stack trains, and how its lanes form teams."""
