"""The names of this package's code: here, and in a packaged bundle, which carries the part of it that its configs reach."""

OURS, THEIRS = "planewise", "scripts"
