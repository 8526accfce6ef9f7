"""The device's health: findings with advice, the self-test, and the history."""
