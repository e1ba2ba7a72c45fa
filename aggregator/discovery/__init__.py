"""Discovery: who is to be pulled, who has come, and who is gone."""
