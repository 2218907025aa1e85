"""A fleet at work while its processes are killed and stopped: every task counts once, and what ran twice is told."""
