-- no-transaction
-- What was paid out of a short code and bought nothing that we sell. SQLite changes what a column takes only with its table, and
-- a table that others refer to only while nobody checks that. It may run twice.
PRAGMA foreign_keys = OFF;
BEGIN IMMEDIATE;
CREATE TABLE ledger_accounts_with_expenses (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('mpesa_clearing', 'wallet', 'suspense', 'revenue', 'mpesa_charges', 'cash', 'bank',
                                       'write_offs', 'refunds_held', 'expenses')),
    created_at BIGINT NOT NULL
);
INSERT INTO ledger_accounts_with_expenses (id, kind, created_at) SELECT id, kind, created_at FROM ledger_accounts;
DROP TABLE ledger_accounts;
ALTER TABLE ledger_accounts_with_expenses RENAME TO ledger_accounts;
COMMIT;
PRAGMA foreign_keys = ON;
