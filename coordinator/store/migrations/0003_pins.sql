-- From here on records of checkpoints may have pins. A version that does not know them refuses the
-- newer schema, and so does not delete what is pinned.
UPDATE checkpoints SET record = record WHERE step < 0;
