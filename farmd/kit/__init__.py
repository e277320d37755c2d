"""What the product's daemons share: configuration reading, wire format, control socket, notification, log."""
