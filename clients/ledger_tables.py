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
    PRIMARY KEY (pseudonym, release_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mask_keys (campaign TEXT PRIMARY KEY, private BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS populations (campaign TEXT PRIMARY KEY, released REAL NOT NULL);
CREATE TRIGGER IF NOT EXISTS releases_kept BEFORE DELETE ON releases
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS members_kept BEFORE DELETE ON members
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
DROP TRIGGER IF EXISTS members_fixed;
DROP TRIGGER IF EXISTS renamings_fixed;
CREATE TRIGGER IF NOT EXISTS members_stand BEFORE UPDATE ON members WHEN
    NEW.release_id <> OLD.release_id OR NEW.pseudonym NOT LIKE 'erased.%'
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
CREATE TRIGGER IF NOT EXISTS renamings_kept BEFORE DELETE ON renamings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_stand BEFORE UPDATE ON renamings WHEN
    NEW.renamed_at <> OLD.renamed_at OR (NEW.old <> OLD.old AND NEW.old NOT LIKE 'erased.%') OR
    (NEW.new <> OLD.new AND NEW.new NOT LIKE 'erased.%')
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS renamings_not_replaced BEFORE INSERT ON renamings WHEN EXISTS (
    SELECT 1 FROM renamings WHERE old = NEW.old OR new = NEW.new)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS releases_not_replaced BEFORE INSERT ON releases WHEN EXISTS (
    SELECT 1 FROM releases WHERE id = NEW.id OR
    (campaign = NEW.campaign AND release = NEW.release AND attempt = NEW.attempt))
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
ERASED = """
SELECT pseudonym FROM members WHERE pseudonym >= 'erased.' AND pseudonym < 'erased/'
UNION SELECT old FROM renamings WHERE old LIKE 'erased.%'
UNION SELECT new FROM renamings WHERE new LIKE 'erased.%'
"""
BURY = (
    "UPDATE members SET pseudonym = ? WHERE pseudonym = ?",
    "UPDATE renamings SET old = ? WHERE old = ?",
    "UPDATE renamings SET new = ? WHERE new = ?",
)
RESERVATIONS = "SELECT *, id AS number FROM releases"
