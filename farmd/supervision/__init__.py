"""The application of a node: its services and its checks."""
