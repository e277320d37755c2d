"""The connection of the two volumes: found, greeted, and carrying records both ways."""
