"""What mirrord decides: pure functions and state machines that touch nothing."""
