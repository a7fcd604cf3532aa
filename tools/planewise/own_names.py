"""The names of this package's code: here, and in a packaged bundle, which carries the part that its configs reach."""

OURS, THEIRS = "planewise", "scripts"
