"""The file system that applications see: the kernel's requests, answered or made into changes."""
