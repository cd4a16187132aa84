"""Columns to features: a layout fixed once, statistics per fold, selection of columns."""
