-- The windows over which what is scheduled is spread, by their ends: eight bytes each, little-endian.
ALTER TABLE scheduled ADD COLUMN spread BLOB NOT NULL DEFAULT x'';
