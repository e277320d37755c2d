"""The pure part: it decides what the farm does and touches neither clock, socket nor system."""
