"""Lost machines: what the object store holds of them is read, counted once, and then deleted."""
