"""Bringing a peer up to date while applications go on."""
