"""Methods from related work, to compare with: each of them solves any `Configurable` problem."""
