"""The core under a simulated hostile network, replayable from a seed."""
