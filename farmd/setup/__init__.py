"""From an empty machine to a farm: a key, a first configuration, and what systemd must know."""
