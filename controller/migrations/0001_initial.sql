-- The subset that SQLite and PostgreSQL share: TEXT ids, BIGINT milliseconds since 1970 (UTC), BIGINT cents,
-- BIGINT 0/1 for truth, $1 placeholders, ON CONFLICT, RETURNING. Constraints carry the invariants.

-- Sites, their routers, and the link to each agent ---------------------------------------------------------------

CREATE TABLE sites (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    -- Desired state: every change of a line or profile takes the next generation.
    generation BIGINT NOT NULL DEFAULT 0,
    state_hash TEXT NOT NULL DEFAULT '00000000000000000000000000000000',
    stored_generation BIGINT NOT NULL DEFAULT 0,
    applied_generation BIGINT NOT NULL DEFAULT 0,
    applied_at BIGINT,
    failures_total BIGINT NOT NULL DEFAULT 0,
    -- Presence: a bye of an older connection is ignored.
    is_online BIGINT NOT NULL DEFAULT 0,
    online_changed_at BIGINT,
    last_seen_at BIGINT,
    connection_epoch BIGINT NOT NULL DEFAULT 0,
    agent_version TEXT NOT NULL DEFAULT '',
    -- The life of the agent's store that said the last hello; NULL before the first.
    store_epoch BIGINT
);

CREATE TABLE site_certificates (
    sha256 TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id),
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE routers (
    id TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    is_reachable BIGINT NOT NULL DEFAULT 0,
    reachable_changed_at BIGINT,
    release TEXT NOT NULL DEFAULT '',
    -- Why the agent cannot work with it, as a code of the contract; 0 while it can.
    trouble BIGINT NOT NULL DEFAULT 0,
    UNIQUE (site_id, name)
);

-- How far the controller has taken in each lane of each life of an agent's store.
CREATE TABLE lane_cursors (
    site_id TEXT NOT NULL REFERENCES sites (id),
    lane BIGINT NOT NULL,
    store_epoch BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    PRIMARY KEY (site_id, lane, store_epoch)
);

-- Customers and what they bought ---------------------------------------------------------------------------------

CREATE TABLE account_numbers (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    last_serial BIGINT NOT NULL
);
INSERT INTO account_numbers (singleton, last_serial) VALUES (1, 1000000);

CREATE TABLE customers (
    id TEXT PRIMARY KEY,
    account_number TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    -- SHA-256 of the twelve digits, in hex: how some confirmations of M-Pesa name a payer.
    phone_sha256 TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    -- Of texts; NULL for what the settings say.
    language TEXT CHECK (language IN ('en', 'sw'))
);
CREATE INDEX customers_by_phone ON customers (phone);
CREATE INDEX customers_by_phone_sha256 ON customers (phone_sha256);
-- The order of every list of customers: a page reads a page, however many there are.
CREATE INDEX customers_by_created_at ON customers (created_at DESC, id);

-- Names are unique in a family, because that is one list on a router: PPP services share their profiles.
CREATE TABLE connection_types (
    id TEXT PRIMARY KEY,
    service_name TEXT NOT NULL CHECK (service_name IN ('pppoe', 'hotspot', 'l2tp', 'pptp', 'openvpn', 'static',
                                                       'hotspot-device')),
    family TEXT NOT NULL CHECK (family IN ('ppp', 'hotspot', 'static')),
    profile_name TEXT NOT NULL,
    download_bits_per_second BIGINT NOT NULL CHECK (download_bits_per_second >= 0),
    upload_bits_per_second BIGINT NOT NULL CHECK (upload_bits_per_second >= 0),
    download_burst_bits_per_second BIGINT NOT NULL DEFAULT 0,
    upload_burst_bits_per_second BIGINT NOT NULL DEFAULT 0,
    download_threshold_bits_per_second BIGINT NOT NULL DEFAULT 0,
    upload_threshold_bits_per_second BIGINT NOT NULL DEFAULT 0,
    burst_seconds BIGINT NOT NULL DEFAULT 0,
    priority BIGINT NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 8),
    shared_users BIGINT NOT NULL DEFAULT 0,
    pool TEXT NOT NULL DEFAULT '',
    local_address TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    UNIQUE (family, profile_name)
);

-- What restrains a line is 'off', 'walled' or 'throttled <download>/<upload>' in bits per second.
CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    connection_type_id TEXT NOT NULL REFERENCES connection_types (id),
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    validity_seconds BIGINT NOT NULL CHECK (validity_seconds > 0),
    data_quota_bytes BIGINT CHECK (data_quota_bytes > 0),
    suspension TEXT NOT NULL DEFAULT 'off',
    after_quota TEXT NOT NULL DEFAULT 'off',
    -- NULL: a line is kept as it is, however long head office is silent.
    offline_hours BIGINT CHECK (offline_hours > 0),
    offline TEXT NOT NULL DEFAULT 'off',
    description TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL
);

-- Plans whose lines have to be told anew, up to which of their lines that was done.
CREATE TABLE plan_refreshes (
    plan_id TEXT PRIMARY KEY REFERENCES plans (id),
    after_line TEXT NOT NULL DEFAULT '',
    queued_at BIGINT NOT NULL,
    -- Taken anew by each change of the plan: progress for an older one is none.
    version BIGINT NOT NULL DEFAULT 0
);

-- A subscription is also a line: its id is the line id in the router's comment.
CREATE TABLE subscriptions (
    id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers (id),
    plan_id TEXT NOT NULL REFERENCES plans (id),
    router_id TEXT NOT NULL REFERENCES routers (id),
    username TEXT NOT NULL,
    password TEXT NOT NULL,
    -- Its own address, and the only device that may use it; empty for none.
    address TEXT NOT NULL DEFAULT '',
    caller_id TEXT NOT NULL DEFAULT '',
    -- The device that a hotspot lets by, where the line is that device; empty for every other service.
    device_mac TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL CHECK (status IN ('draft', 'active', 'suspended', 'expired')),
    paid_until BIGINT,
    -- Whether the wallet buys the next period before this one ends.
    renews BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    -- Shown on pages; the desired state and the ledger decide.
    is_online BIGINT NOT NULL DEFAULT 0,
    online_changed_at BIGINT,
    last_address TEXT NOT NULL DEFAULT '',
    failure TEXT NOT NULL DEFAULT '',
    UNIQUE (router_id, username)
);
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id);
CREATE INDEX subscriptions_by_plan ON subscriptions (plan_id, id);
CREATE UNIQUE INDEX subscriptions_by_address ON subscriptions (router_id, address) WHERE address <> '';
CREATE UNIQUE INDEX subscriptions_by_device ON subscriptions (router_id, device_mac) WHERE device_mac <> '';
CREATE INDEX subscriptions_by_paid_until ON subscriptions (status, paid_until);
-- The lines that fail, to list them without reading those that do not.
CREATE INDEX subscriptions_failing ON subscriptions (router_id) WHERE failure <> '';
-- Holds only the lines with a session: how many there are is read often.
CREATE INDEX subscriptions_online ON subscriptions (id) WHERE is_online = 1;

-- The periods that a line bought, one after the other. `bytes` is NULL where the plan had no limit.
CREATE TABLE quota_periods (
    line_id TEXT NOT NULL REFERENCES subscriptions (id),
    started_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL CHECK (ends_at > started_at),
    bytes BIGINT CHECK (bytes > 0),
    topped_up_bytes BIGINT NOT NULL DEFAULT 0 CHECK (topped_up_bytes >= 0),
    -- Whether it was looked, after its end, if the site has to be told of later ones.
    is_end_seen BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (line_id, started_at)
);
CREATE INDEX quota_periods_unseen ON quota_periods (ends_at) WHERE is_end_seen = 0;

-- Data that can be bought on top of a running period: of one plan, or of any that has a limit.
CREATE TABLE top_ups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan_id TEXT REFERENCES plans (id),
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    bytes BIGINT NOT NULL CHECK (bytes > 0),
    created_at BIGINT NOT NULL
);

-- Desired state: what each site should have, by generation --------------------------------------------------------

CREATE TABLE desired_lines (
    site_id TEXT NOT NULL REFERENCES sites (id),
    line_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    is_removed BIGINT NOT NULL DEFAULT 0,
    -- As it was told, in JSON.
    line TEXT NOT NULL,
    PRIMARY KEY (site_id, line_id)
);
CREATE INDEX desired_lines_by_generation ON desired_lines (site_id, generation);
-- Each booking looks where else its line is.
CREATE INDEX desired_lines_by_line ON desired_lines (line_id);

CREATE TABLE desired_profiles (
    site_id TEXT NOT NULL REFERENCES sites (id),
    service BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- Which connection type it belongs to: a change of that reaches it without a look at any line.
    connection_type_id TEXT NOT NULL DEFAULT '',
    generation BIGINT NOT NULL,
    is_removed BIGINT NOT NULL DEFAULT 0,
    -- As it was told, in JSON.
    profile TEXT NOT NULL,
    PRIMARY KEY (site_id, service, name)
);
CREATE INDEX desired_profiles_by_generation ON desired_profiles (site_id, generation);
CREATE INDEX desired_profiles_by_connection_type ON desired_profiles (connection_type_id);

-- Work queued in the caller's transaction: "tell this site about everything up to this generation".
CREATE TABLE outbox (
    site_id TEXT PRIMARY KEY REFERENCES sites (id),
    generation BIGINT NOT NULL,
    queued_at BIGINT NOT NULL
);

-- Money ----------------------------------------------------------------------------------------------------------

CREATE TABLE ledger_accounts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('mpesa_clearing', 'wallet', 'suspense', 'revenue', 'mpesa_charges', 'cash', 'bank',
                                       'write_offs', 'refunds_held')),
    created_at BIGINT NOT NULL
);

-- Append only. (cause_kind, cause_id) makes booking the same fact twice impossible.
CREATE TABLE ledger_entries (
    id TEXT PRIMARY KEY,
    booked_at BIGINT NOT NULL,
    cause_kind TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    memo TEXT NOT NULL DEFAULT '',
    UNIQUE (cause_kind, cause_id)
);

-- Debit is positive, credit negative; the postings of an entry sum to zero.
CREATE TABLE ledger_postings (
    -- Written before its entry, which closes it.
    entry_id TEXT NOT NULL REFERENCES ledger_entries (id) DEFERRABLE INITIALLY DEFERRED,
    position BIGINT NOT NULL,
    account_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    amount_cents BIGINT NOT NULL CHECK (amount_cents <> 0),
    PRIMARY KEY (entry_id, position)
);
CREATE INDEX ledger_postings_by_account ON ledger_postings (account_id);

-- The postings of an entry are there before it and sum to zero; with it they are closed, and nothing of it is ever changed or
-- taken away. A posting without an entry ends at the commit. In SQLite's words: PostgreSQL says this with functions.
CREATE TRIGGER ledger_entries_balance BEFORE INSERT ON ledger_entries
    WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE id = NEW.id)
        OR (SELECT COUNT(*) FROM ledger_postings WHERE entry_id = NEW.id) < 2
        OR (SELECT SUM(amount_cents) FROM ledger_postings WHERE entry_id = NEW.id) <> 0
    BEGIN SELECT RAISE(ABORT, 'the postings of a ledger entry sum to zero'); END;
CREATE TRIGGER ledger_postings_are_closed BEFORE INSERT ON ledger_postings
    WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE id = NEW.entry_id)
    BEGIN SELECT RAISE(ABORT, 'a ledger entry is closed'); END;
CREATE TRIGGER ledger_entries_are_not_changed BEFORE UPDATE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append only'); END;
CREATE TRIGGER ledger_entries_are_not_deleted BEFORE DELETE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append only'); END;
CREATE TRIGGER ledger_postings_are_not_changed BEFORE UPDATE ON ledger_postings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append only'); END;
CREATE TRIGGER ledger_postings_are_not_deleted BEFORE DELETE ON ledger_postings
    BEGIN SELECT RAISE(ABORT, 'the ledger is append only'); END;

-- M-Pesa ---------------------------------------------------------------------------------------------------------

CREATE TABLE payment_intents (
    id TEXT PRIMARY KEY,
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    -- What the money is to buy; NULL for a period.
    top_up_id TEXT REFERENCES top_ups (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    short_code TEXT NOT NULL,
    phone TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    -- The period that the amount was said to buy; all NULL where it was not enough for one, or is for a top-up.
    promised_plan_id TEXT REFERENCES plans (id),
    promised_price_cents BIGINT,
    promised_validity_seconds BIGINT,
    promised_bytes BIGINT,
    -- 128 random bits in lower-case hex: the path of the callback, unknown to anyone but Safaricom.
    callback_token TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('created', 'submitting', 'prompted', 'submit_unknown', 'paid_unreceipted',
                                         'paid', 'declined', 'expired', 'review')),
    -- Whether Safaricom ever said that it is paid, without a receipt.
    is_said_paid BIGINT NOT NULL DEFAULT 0,
    checkout_request_id TEXT UNIQUE,
    merchant_request_id TEXT,
    result_code TEXT,
    result_description TEXT,
    receipt_number TEXT,
    next_query_at BIGINT,
    queries_sent BIGINT NOT NULL DEFAULT 0,
    requested_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX payment_intents_by_subscription ON payment_intents (subscription_id, created_at);
CREATE INDEX payment_intents_by_customer ON payment_intents (customer_id, created_at);
CREATE INDEX payment_intents_by_query ON payment_intents (next_query_at);
CREATE INDEX payment_intents_by_created_at ON payment_intents (created_at);
-- Holds only what a person has to look at.
CREATE INDEX payment_intents_for_review ON payment_intents (updated_at, id)
    WHERE state IN ('paid_unreceipted', 'review');

-- What was asked for at the pay page, where nobody signs in.
CREATE TABLE pay_page_requests (
    -- 128 random bits in lower-case hex: the address of the page that follows it, known to whoever asked.
    token TEXT PRIMARY KEY,
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    -- NULL where the wallet paid, and no phone was asked.
    intent_id TEXT REFERENCES payment_intents (id),
    created_at BIGINT NOT NULL
);

-- What Safaricom tells of payments by Paybill and to tills, and the secret in the address where it does.
CREATE TABLE c2b_addresses (
    short_code TEXT PRIMARY KEY,
    -- The till's own number where the short code is its head office; empty for a paybill.
    till_number TEXT NOT NULL DEFAULT '',
    -- 128 random bits in lower-case hex: part of the address, unknown to anyone but Safaricom.
    callback_token TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    -- How the address began that Safaricom took; empty until then.
    base_url TEXT NOT NULL DEFAULT '',
    -- NULL until Safaricom has said that it took the address.
    registered_at BIGINT
);

-- What an API operator asked of Safaricom, committed before it is sent; the result comes later, on a path of its own. One
-- row for whatever Safaricom answers that way: look-ups today.
CREATE TABLE operator_requests (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('balance', 'status', 'reversal', 'payout', 'refund_status')),
    -- The receipt that it is about; NULL where it is about none.
    receipt_number TEXT,
    -- The refund that it is for; NULL where it is for none.
    refund_id TEXT,
    short_code TEXT NOT NULL,
    operator TEXT NOT NULL,
    -- 128 random bits in lower-case hex: part of the paths where the result comes, unknown to anyone but Safaricom.
    callback_token TEXT NOT NULL UNIQUE,
    -- All but 'refused' and 'answered' mean that nobody knows: none of them is a failure.
    state TEXT NOT NULL CHECK (state IN ('asking', 'accepted', 'refused', 'reply_lost', 'queue_timed_out', 'answered')),
    originator_conversation_id TEXT,
    conversation_id TEXT,
    -- As Safaricom wrote them, of the refusal or of the result; NULL until then.
    result_code TEXT,
    result_description TEXT,
    -- What else the result says: a JSON list of names and values.
    result_parameters TEXT NOT NULL DEFAULT '[]',
    requested_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX operator_requests_by_created_at ON operator_requests (created_at);

-- Every callback body, committed before it is answered.
CREATE TABLE callback_bodies (
    id TEXT PRIMARY KEY,
    callback_token TEXT NOT NULL,
    -- What came: the end of a prompt, news of a payment by Paybill or to a till, the result of what an API operator asked,
    -- or word that M-Pesa did not get to it.
    kind TEXT NOT NULL DEFAULT 'stk' CHECK (kind IN ('stk', 'confirmation', 'operator_result', 'operator_timeout')),
    source_address TEXT NOT NULL,
    -- The text as it came, or, where it was none that both databases can hold, its bytes in hex.
    body TEXT NOT NULL,
    is_hex BIGINT NOT NULL DEFAULT 0,
    received_at BIGINT NOT NULL,
    processed_at BIGINT,
    outcome TEXT NOT NULL DEFAULT '',
    needs_person BIGINT NOT NULL DEFAULT 0,
    -- What it says was paid; empty and NULL where it says nothing, or is not understood.
    receipt_number TEXT NOT NULL DEFAULT '',
    amount_cents BIGINT,
    -- 1 while its receipt is not booked, and nothing but another source that tells of the same is missing.
    waits_for_receipt BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX callback_bodies_that_wait ON callback_bodies (receipt_number) WHERE waits_for_receipt = 1;
CREATE INDEX callback_bodies_unprocessed ON callback_bodies (processed_at, received_at);
-- Holds only what a person has to look at: the list is short, and the table is not.
CREATE INDEX callback_bodies_for_review ON callback_bodies (received_at, id) WHERE needs_person = 1;

-- Rows of Pull that are not understood, as they came: each may be a payment.
CREATE TABLE pull_rows_for_review (
    row_sha256 TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    -- A row stays when a person has looked at it: the next sweep sees it again.
    needs_person BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX pull_rows_for_review_by_seen_at ON pull_rows_for_review (seen_at, row_sha256) WHERE needs_person = 1;

-- Rows of the portal's statements that no rule books, as they came.
CREATE TABLE statement_rows_for_review (
    row_sha256 TEXT PRIMARY KEY,
    short_code TEXT NOT NULL,
    -- Where it stood in the file that first had it.
    line BIGINT NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    -- Empty where none is understood.
    receipt_number TEXT NOT NULL DEFAULT '',
    -- Below zero went out; NULL where nobody knows.
    amount_cents BIGINT,
    -- By M-Pesa's own clock, where that is understood.
    moved_at BIGINT,
    seen_at BIGINT NOT NULL,
    -- A row stays when a person has looked at it: the next statement may have it again.
    needs_person BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX statement_rows_for_review_by_seen_at ON statement_rows_for_review (seen_at, row_sha256)
    WHERE needs_person = 1;

-- One row per receipt, however many callbacks and statements speak of it.
CREATE TABLE payments (
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL CHECK (provider IN ('mpesa', 'cash', 'bank')),
    -- M-Pesa's receipt, the bank's reference, or the occasion on which the cash was taken.
    receipt_number TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    short_code TEXT NOT NULL,
    phone TEXT NOT NULL DEFAULT '',
    account_reference TEXT NOT NULL DEFAULT '',
    customer_id TEXT REFERENCES customers (id),
    subscription_id TEXT REFERENCES subscriptions (id),
    intent_id TEXT REFERENCES payment_intents (id),
    -- Why nobody owned it when it came; empty where somebody did, or was found since.
    no_owner TEXT NOT NULL DEFAULT '' CHECK (no_owner IN ('', 'no_account', 'not_an_account', 'check_digit',
                                             'unknown_account', 'unknown_phone', 'shared_phone', 'ambiguous',
                                             'unknown_kind', 'taken_back')),
    -- When it was paid by M-Pesa's own clock; NULL where nothing said so, and for what was taken at the counter.
    moved_at BIGINT,
    -- 1 where nothing but who paid said whose it is.
    is_owner_guessed BIGINT NOT NULL DEFAULT 0,
    -- Why it bought nothing and lies in the wallet; empty where it was used, then or since, or came for no line.
    unspent TEXT NOT NULL DEFAULT '' CHECK (unspent IN ('', 'too_little', 'on_hold', 'site_revoked', 'unclear', 'other')),
    -- 1 where a person corrected whose it is: no rule moves it any more.
    is_by_hand BIGINT NOT NULL DEFAULT 0,
    -- How often it was taken from somebody.
    corrections BIGINT NOT NULL DEFAULT 0,
    -- Why it is nobody's money any more: it is in parts, or was never paid. Empty while it is money.
    closed TEXT NOT NULL DEFAULT '' CHECK (closed IN ('', 'split', 'undone', 'refunded')),
    -- The payment that it is a part of.
    part_of TEXT REFERENCES payments (id),
    received_at BIGINT NOT NULL,
    booked_at BIGINT NOT NULL,
    UNIQUE (provider, receipt_number)
);
CREATE INDEX payments_by_customer ON payments (customer_id, received_at);
CREATE INDEX payments_by_received_at ON payments (received_at);
CREATE INDEX payments_by_day ON payments (short_code, (COALESCE(moved_at, received_at)))
    WHERE provider = 'mpesa' AND part_of IS NULL;
CREATE INDEX payments_by_provider ON payments (provider, received_at DESC, id);
CREATE INDEX payments_for_no_line ON payments (id) WHERE subscription_id IS NULL AND customer_id IS NOT NULL;
CREATE INDEX payments_unspent ON payments (customer_id, received_at, id) WHERE unspent <> '';
-- Holds only what is nobody's: the list is short, and the table is not.
CREATE INDEX payments_in_suspense ON payments (received_at, id) WHERE customer_id IS NULL AND closed = '';
CREATE INDEX payments_in_parts ON payments (part_of) WHERE part_of IS NOT NULL;
CREATE INDEX payments_unclear ON payments (received_at, id) WHERE unspent = 'unclear';

-- What wallets bought: periods of lines, and top-ups of periods. Each is one entry of the ledger, and stays when it is taken
-- back.
CREATE TABLE purchases (
    -- The cause of its entry.
    cause_kind TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    -- The payment whose coming bought it; NULL where somebody spent what lay in the wallet.
    payment_id TEXT REFERENCES payments (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    line_id TEXT NOT NULL REFERENCES subscriptions (id),
    what TEXT NOT NULL CHECK (what IN ('period', 'top_up')),
    -- As it was called when it was sold.
    label TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    -- The period that it is, or that it was added to.
    period_started_at BIGINT NOT NULL,
    -- What a top-up added.
    bytes BIGINT,
    -- Until when the line was paid before this period; NULL for never, and for top-ups.
    paid_until_before BIGINT,
    bought_at BIGINT NOT NULL,
    taken_back_at BIGINT,
    PRIMARY KEY (cause_kind, cause_id)
);
CREATE INDEX purchases_by_payment ON purchases (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX purchases_by_customer ON purchases (customer_id, bought_at);
CREATE INDEX purchases_by_period ON purchases (line_id, period_started_at);

-- Money that goes back to whoever paid it. From the ask until its end it lies in an account of its own.
CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    -- Out of whose wallet, and which line it had been for; NULL for suspense, and for none.
    customer_id TEXT REFERENCES customers (id),
    way TEXT NOT NULL CHECK (way IN ('reversal', 'payout')),
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    -- 1 where all of the payment goes back, and what it bought was taken back.
    is_whole BIGINT NOT NULL,
    short_code TEXT NOT NULL,
    -- M-Pesa's receipt of the payment, and whose phone is paid; empty for a reversal.
    receipt_number TEXT NOT NULL,
    phone TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    -- What the form carried that asked for it, so that a form which is sent twice asks once; NULL for programs, who have keys.
    occasion TEXT UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'asking', 'asked', 'unknown', 'done', 'failed', 'withdrawn')),
    -- What M-Pesa said last, and the receipt of what it did; empty until then.
    result_code TEXT NOT NULL DEFAULT '',
    result_description TEXT NOT NULL DEFAULT '',
    result_receipt TEXT NOT NULL DEFAULT '',
    -- When it is sent, or M-Pesa is asked what became of it; NULL where nothing is due.
    next_at BIGINT,
    looks BIGINT NOT NULL DEFAULT 0,
    requested_by TEXT NOT NULL,
    approved_by TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX refunds_by_created_at ON refunds (created_at DESC, id);
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX refunds_by_asker ON refunds (requested_by, created_at);
CREATE INDEX refunds_due ON refunds (next_at) WHERE next_at IS NOT NULL;
-- Holds only what a person has to look at.
CREATE INDEX refunds_for_review ON refunds (updated_at, id) WHERE state = 'unknown' AND next_at IS NULL;

-- Our own receipts, one for each payment: numbered in the order of booking, without gaps, by constraint.
CREATE TABLE receipts (
    serial BIGINT PRIMARY KEY,
    payment_id TEXT NOT NULL UNIQUE REFERENCES payments (id),
    issued_at BIGINT NOT NULL
);
CREATE TRIGGER receipts_have_no_gaps BEFORE INSERT ON receipts
    WHEN NEW.serial <> (SELECT COALESCE(MAX(serial), 0) + 1 FROM receipts)
    BEGIN SELECT RAISE(ABORT, 'receipts are numbered without gaps'); END;
CREATE TRIGGER receipts_are_not_changed BEFORE UPDATE ON receipts
    BEGIN SELECT RAISE(ABORT, 'a receipt is not changed'); END;
CREATE TRIGGER receipts_are_not_deleted BEFORE DELETE ON receipts
    BEGIN SELECT RAISE(ABORT, 'a receipt is not deleted'); END;

-- What staff took: cash over the counter, and transfers that they saw on the bank's statement.
CREATE TABLE counter_payments (
    payment_id TEXT PRIMARY KEY REFERENCES payments (id),
    taken_by TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    note TEXT NOT NULL DEFAULT '',
    taken_at BIGINT NOT NULL
);
CREATE INDEX counter_payments_by_taker ON counter_payments (taken_by, taken_at);

CREATE TABLE payment_evidence (
    payment_id TEXT NOT NULL REFERENCES payments (id),
    source TEXT NOT NULL,
    source_id TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    -- What a person has to look at, where it does not fit what is booked and nothing else keeps that.
    outcome TEXT NOT NULL DEFAULT '',
    needs_person BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (payment_id, source, source_id)
);
-- Holds only what a person has to look at.
CREATE INDEX payment_evidence_for_review ON payment_evidence (seen_at, payment_id) WHERE needs_person = 1;

-- Payment to packets, one row for what a payment bought, one column a step. A payment that was moved to whose it is leaves
-- the row of the line that had it first.
CREATE TABLE payment_traces (
    payment_id TEXT NOT NULL REFERENCES payments (id),
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    site_id TEXT NOT NULL REFERENCES sites (id),
    generation BIGINT NOT NULL,
    callback_received_at BIGINT NOT NULL,
    booked_at BIGINT NOT NULL,
    published_at BIGINT,
    stored_at BIGINT,
    verified_at BIGINT,
    online_at BIGINT,
    failure TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (payment_id, subscription_id)
);
CREATE INDEX payment_traces_by_site ON payment_traces (site_id, verified_at, generation);
-- Holds only what was not sent yet.
CREATE INDEX payment_traces_unpublished ON payment_traces (site_id, generation) WHERE published_at IS NULL;
CREATE INDEX payment_traces_by_subscription ON payment_traces (subscription_id);
CREATE INDEX payment_traces_unverified ON payment_traces (verified_at, booked_at);

-- Usage and events -----------------------------------------------------------------------------------------------

CREATE TABLE usage_sessions (
    site_id TEXT NOT NULL REFERENCES sites (id),
    session_key TEXT NOT NULL,
    line_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    sampled_at BIGINT NOT NULL,
    is_ended BIGINT NOT NULL,
    upload_bytes BIGINT NOT NULL,
    download_bytes BIGINT NOT NULL,
    address TEXT NOT NULL DEFAULT '',
    -- Which period of the line it counts towards; 0 for none. And the life of the agent's store that told of it last.
    period_started_at BIGINT NOT NULL DEFAULT 0,
    store_epoch BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (site_id, session_key)
);
CREATE INDEX usage_sessions_by_line ON usage_sessions (line_id, started_at);
CREATE INDEX usage_sessions_by_period ON usage_sessions (line_id, period_started_at);
-- What is forgotten by its age is found by its age, here and in the tables below.
CREATE INDEX usage_sessions_by_sampled_at ON usage_sessions (sampled_at);

-- What lines moved by hour, and by day of Nairobi. Time comes first in the key: what is written lies at its end, what is
-- forgotten at its beginning, and an hour of a line is one look into it.
CREATE TABLE usage_hours (
    hour_at BIGINT NOT NULL,
    line_id TEXT NOT NULL,
    upload_bytes BIGINT NOT NULL,
    download_bytes BIGINT NOT NULL,
    PRIMARY KEY (hour_at, line_id)
);

CREATE TABLE usage_days (
    day_at BIGINT NOT NULL,
    line_id TEXT NOT NULL,
    upload_bytes BIGINT NOT NULL,
    download_bytes BIGINT NOT NULL,
    PRIMARY KEY (day_at, line_id)
);

CREATE TABLE site_events (
    site_id TEXT NOT NULL REFERENCES sites (id),
    store_epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    line_id TEXT,
    router_name TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (site_id, store_epoch, seq)
);
CREATE INDEX site_events_by_received_at ON site_events (received_at);
CREATE INDEX site_events_by_line ON site_events (line_id, received_at);

-- The API log: what agents wrote to routers. An id begins with the time, so that a range of time is a range of ids.
CREATE TABLE router_writes (
    id TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id),
    at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    router_name TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- Without secrets: agents leave them out.
    parameters TEXT NOT NULL,
    line_id TEXT,
    status BIGINT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX router_writes_by_site ON router_writes (site_id, id);
CREATE INDEX router_writes_by_line ON router_writes (line_id, id);
CREATE INDEX router_writes_by_received_at ON router_writes (received_at);

-- What sites are to do once, and what a person has to decide -------------------------------------------------------

CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id),
    kind BIGINT NOT NULL,
    router_name TEXT NOT NULL,
    line_id TEXT,
    argument TEXT NOT NULL,
    service BIGINT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('queued', 'executing', 'succeeded', 'failed', 'expired')),
    standing_at BIGINT NOT NULL,
    detail TEXT NOT NULL
);
-- Holds only what sites must still be told.
CREATE INDEX commands_open ON commands (site_id, created_at) WHERE standing IN ('queued', 'executing');
CREATE INDEX commands_by_site ON commands (site_id, created_at);
CREATE INDEX commands_by_created_at ON commands (created_at);

-- The last word of each router's guard.
CREATE TABLE held_plans (
    site_id TEXT NOT NULL REFERENCES sites (id),
    router_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    lines_total BIGINT NOT NULL,
    lines_working BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (site_id, router_name)
);

CREATE TABLE held_lines (
    site_id TEXT NOT NULL REFERENCES sites (id),
    router_name TEXT NOT NULL,
    line_id TEXT NOT NULL,
    PRIMARY KEY (site_id, router_name, line_id)
);

-- Rows of routers that somebody else made, as last read; the newest reading of a router replaces the one before.
CREATE TABLE foreign_rows (
    command_id TEXT NOT NULL,
    site_id TEXT NOT NULL REFERENCES sites (id),
    router_name TEXT NOT NULL,
    service BIGINT NOT NULL,
    username TEXT NOT NULL,
    comment TEXT NOT NULL,
    profile TEXT NOT NULL,
    rate_limit TEXT NOT NULL,
    is_disabled BIGINT NOT NULL,
    is_online BIGINT NOT NULL,
    address TEXT NOT NULL,
    caller_id TEXT NOT NULL,
    PRIMARY KEY (site_id, router_name, service, username)
);

-- People and programs that sign in -------------------------------------------------------------------------------

CREATE TABLE staff (
    id TEXT PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'viewer')),
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE staff_sessions (
    token_sha256 TEXT PRIMARY KEY,
    staff_id TEXT NOT NULL REFERENCES staff (id),
    csrf_token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX staff_sessions_by_expires_at ON staff_sessions (expires_at);

CREATE TABLE api_tokens (
    token_sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'viewer')),
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE audit_log (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_by_at ON audit_log (at);

-- Answers already given to writes of the JSON API, by the sender's key.
CREATE TABLE idempotency_keys (
    actor TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (actor, idempotency_key)
);
CREATE INDEX idempotency_keys_by_created_at ON idempotency_keys (created_at);
