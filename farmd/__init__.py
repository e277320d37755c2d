"""farmd: every web server of a farm answers its share of the clients of one virtual address."""

__version__ = "0.1.0"
