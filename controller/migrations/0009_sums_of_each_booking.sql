-- Each booking asks for the balance of a wallet, and how many texts a customer was sent that day: neither may take longer
-- the more a customer has paid.

DROP INDEX ledger_postings_by_account;
CREATE INDEX ledger_postings_with_amounts ON ledger_postings (account_id, amount_cents);

CREATE INDEX messages_that_go_out ON messages (customer_id, id) WHERE state <> 'dropped';
