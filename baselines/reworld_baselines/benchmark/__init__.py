"""Comparisons: how fast the worlds are, beside their peers."""
