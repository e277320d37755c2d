"""What a mirrored directory is put through: random operations, recorded writes, foreign programs."""
