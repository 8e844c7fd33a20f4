"""A recommended set-up for every world: one in which it pays to change the world, at a price."""
