"""The names of this package: here, and in a packaged bundle, which contains the part of it that its configs use."""

OURS, THEIRS = "planewise", "scripts"
