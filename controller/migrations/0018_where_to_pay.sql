-- Where customers pay to, as the settings said last: texts are written by whatever books, which may not know the settings.
CREATE TABLE message_addresses (
    -- 'public_url', 'payee' of all sites but those that have their own, or 'payee:' and the id of a site.
    name TEXT PRIMARY KEY,
    -- An address, or 'paybill' or 'till' and its number.
    value TEXT NOT NULL
);
