"""The filter: C sources, what compiles and loads them, and what user space needs to speak to it."""
