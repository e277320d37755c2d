"""`python -m lab`: what ./lab/lab runs after the set-up."""

from lab.cli import main

main()
