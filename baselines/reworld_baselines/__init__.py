"""The reference agents of reworld, and the comparisons of them."""
