"""The key server: issues each epoch's salt and keys, and keeps what opens the logs."""
