"""MCTVMDP."""
