"""What a token that is restricted to hosts or tags gets to see."""
