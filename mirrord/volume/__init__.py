"""The process that holds a mirror's files: captures changes, sends them in one order, applies them at the peer."""
