"""Inline SVG charts, one file for each kind; every one takes plain numbers and returns safe markup."""
