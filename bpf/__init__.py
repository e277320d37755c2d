"""The filter: C sources, the loader that compiles them, and what user space needs to speak to it."""
