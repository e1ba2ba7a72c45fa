"""The project's words, as types.

Every name here has an entry of the same name in docs/glossary.md; a test keeps
the two lists equal.  NewTypes cost nothing at run time and stop a sequence
number from being passed where a time is meant.
"""

from typing import NewType

Millis = NewType("Millis", int)  # wall clock, UTC, milliseconds since 1970
Region = NewType("Region", str)  # "dfw", "cdg": where an edge runs
StreamId = NewType("StreamId", bytes)  # 16 random bytes; one append-only file
LifeId = NewType("LifeId", bytes)  # 16 random bytes; one run of one writer process
BatchId = NewType("BatchId", bytes)  # 16 random bytes; the unit that is counted once
Seq = NewType("Seq", int)  # a batch's number in its stream: 1, 2, 3 without gaps
Chain = NewType("Chain", bytes)  # 32 bytes: the hash over everything up to a batch
Epoch = NewType("Epoch", int)  # the number of a span with one salt and one set of keys
KeyId = NewType("KeyId", bytes)  # 8 bytes that name an epoch's public keys
Salt = NewType("Salt", bytes)  # 32 secret bytes; one per epoch, never on an edge's disk
VisitorHash = NewType("VisitorHash", bytes)  # 16 bytes; comparable within one epoch
LinkId = NewType("LinkId", str)  # names one managed link for ever
GrantId = NewType("GrantId", str)  # names one grant for ever
Position = NewType("Position", int)  # a place in the feed; rises by one per change
Generation = NewType("Generation", int)  # when a combined database was made or restored
Scope = NewType("Scope", str)  # what a bearer token may do, such as "pull"
