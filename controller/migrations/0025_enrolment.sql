-- What a new device shows to become a site: good once. The token itself is nowhere; whoever reads this table cannot enrol.
CREATE TABLE enrolment_tokens (
    -- SHA-256 of the token. It is random, so that looking it up tells nobody how much of it is right.
    digest TEXT PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id),
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    -- Where this site reaches head office, with commas between, when it is not as the settings say.
    addresses TEXT NOT NULL DEFAULT '',
    -- By a newer one of the site, or because the site was shut out.
    withdrawn_at BIGINT,
    used_at BIGINT,
    certificate_sha256 TEXT REFERENCES site_certificates (sha256),
    CHECK ((used_at IS NULL) = (certificate_sha256 IS NULL)),
    CHECK (used_at IS NULL OR withdrawn_at IS NULL)
);
CREATE INDEX enrolment_tokens_of_site ON enrolment_tokens (site_id, made_at);

-- Of certificates for keys that were made on the device: whose it is, and the certificate, for whoever lost the answer. NULL for
-- those that went out with their key.
ALTER TABLE site_certificates ADD COLUMN key_sha256 TEXT;
ALTER TABLE site_certificates ADD COLUMN certificate_pem TEXT;
CREATE INDEX site_certificates_of_site ON site_certificates (site_id, issued_at);
