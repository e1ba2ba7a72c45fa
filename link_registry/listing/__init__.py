"""What can be asked about many links: lists, hosts, and what became of a link."""
