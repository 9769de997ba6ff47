-- Each entry of the ledger says who or what booked it. In SQLite's words, as the other rules of the ledger.
CREATE TRIGGER ledger_entries_have_an_actor BEFORE INSERT ON ledger_entries
    WHEN TRIM(NEW.actor) = ''
    BEGIN SELECT RAISE(ABORT, 'a ledger entry says who booked it'); END;
