"""`python -m planewise` is the console script."""

from planewise.commands import app

app()
