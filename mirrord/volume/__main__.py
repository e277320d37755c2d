"""`python -m mirrord.volume`."""

from mirrord.volume.program import main

main()
