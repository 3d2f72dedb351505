"""Tables of the privacy-budget ledger (SQLite), append-only by trigger."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    id INTEGER PRIMARY KEY,
    campaign TEXT NOT NULL, release INTEGER NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL,
    noise_multiplier REAL NOT NULL, sampling_rate REAL NOT NULL, steps INTEGER NOT NULL,
    root TEXT NOT NULL, salt BLOB NOT NULL, reserved_at TEXT NOT NULL, settled_at TEXT,
    UNIQUE (campaign, release, attempt)
);
CREATE TABLE IF NOT EXISTS members (
    pseudonym TEXT NOT NULL, release_id INTEGER NOT NULL REFERENCES releases (id),
    leaf BLOB,  -- of an erased person, whose name is a tombstone then: what stands in the roster
    PRIMARY KEY (pseudonym, release_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mask_keys (campaign TEXT PRIMARY KEY, private BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS populations (campaign TEXT PRIMARY KEY, released REAL NOT NULL);
CREATE TRIGGER IF NOT EXISTS releases_kept BEFORE DELETE ON releases
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS members_kept BEFORE DELETE ON members
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS members_fixed BEFORE UPDATE ON members WHEN
    NEW.release_id <> OLD.release_id OR NEW.leaf IS NULL OR NEW.leaf <> OLD.leaf
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS releases_fixed BEFORE UPDATE ON releases WHEN
    OLD.settled_at IS NOT NULL OR NEW.settled_at IS NULL OR
    (NEW.id, NEW.campaign, NEW.release, NEW.attempt, NEW.kind, NEW.noise_multiplier,
     NEW.sampling_rate, NEW.steps, NEW.root, NEW.salt, NEW.reserved_at) IS NOT
    (OLD.id, OLD.campaign, OLD.release, OLD.attempt, OLD.kind, OLD.noise_multiplier,
     OLD.sampling_rate, OLD.steps, OLD.root, OLD.salt, OLD.reserved_at)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS renamings (
    old TEXT PRIMARY KEY, new TEXT NOT NULL UNIQUE, renamed_at TEXT NOT NULL, CHECK (old <> new)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS renamings_kept BEFORE DELETE ON renamings WHEN
    EXISTS (SELECT 1 FROM members WHERE pseudonym = OLD.old) OR
    EXISTS (SELECT 1 FROM renamings WHERE new = OLD.old)  -- whose history would be lost
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_fixed BEFORE UPDATE ON renamings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_not_replaced BEFORE INSERT ON renamings WHEN EXISTS (
    SELECT 1 FROM renamings WHERE old = NEW.old OR new = NEW.new)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS releases_not_replaced BEFORE INSERT ON releases WHEN EXISTS (
    SELECT 1 FROM releases WHERE id = NEW.id OR
    (campaign = NEW.campaign AND release = NEW.release AND attempt = NEW.attempt))
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
HAS_LEAVES = "SELECT 1 FROM pragma_table_info('members') WHERE name = 'leaf'"
ADD_LEAVES = """
ALTER TABLE members ADD COLUMN leaf BLOB;
DROP TRIGGER members_fixed;
DROP TRIGGER IF EXISTS renamings_kept;
"""
LEAVES = "SELECT id, salt, leaf FROM members JOIN releases ON id = release_id WHERE pseudonym = ?"
BURY = "UPDATE members SET pseudonym = ?, leaf = ? WHERE pseudonym = ? AND release_id = ?"
LET_GO = "DELETE FROM renamings WHERE old = ? AND old NOT IN (SELECT new FROM renamings)"
RESERVATIONS = """
SELECT campaign, release, attempt, kind, noise_multiplier, sampling_rate, steps, id AS number,
    (SELECT count(*) FROM members WHERE release_id = id) AS people,
    root, salt, reserved_at, settled_at
FROM releases
"""
