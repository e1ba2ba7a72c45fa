"""Rolling: what is worked out behind the head, so that questions are answered fast."""
