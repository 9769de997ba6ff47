//! All SQL of tokens, and of the certificates that they bring.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::rule::{CertificateRow, TokenRow, Used};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::SiteId;
use crate::sites::SiteError;

const DAY: Duration = Duration::from_secs(86_400);

/// A token to be kept, without the token.
pub(super) struct NewToken<'a> {
    pub(super) digest: &'a str,
    pub(super) site: &'a SiteId,
    pub(super) made_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
    pub(super) made_by: &'a str,
    pub(super) addresses: &'a [String],
}

pub(super) async fn insert_token(connection: &mut Connection, new: NewToken<'_>) -> Result<(), SiteError> {
    sqlx::query(
        "INSERT INTO enrolment_tokens (digest, site_id, made_at, expires_at, made_by, addresses) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.digest)
    .bind(new.site.as_str())
    .bind(new.made_at.0)
    .bind(new.expires_at.0)
    .bind(new.made_by)
    .bind(new.addresses.join(","))
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of the site that nobody used.
pub(in crate::sites) async fn withdraw_tokens(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), SiteError> {
    sqlx::query(
        "UPDATE enrolment_tokens SET withdrawn_at = $2 \
         WHERE site_id = $1 AND used_at IS NULL AND withdrawn_at IS NULL",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn token(connection: &mut Connection, digest: &str) -> Result<Option<TokenRow>, SiteError> {
    let row = sqlx::query(
        "SELECT t.site_id, t.expires_at, t.addresses, t.withdrawn_at, t.used_at, \
                c.key_sha256, c.certificate_pem, c.revoked_at AS certificate_revoked_at, \
                s.revoked_at AS site_revoked_at \
         FROM enrolment_tokens t JOIN sites s ON s.id = t.site_id \
         LEFT JOIN site_certificates c ON c.sha256 = t.certificate_sha256 \
         WHERE t.digest = $1",
    )
    .bind(digest)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_token).transpose()
}

fn read_token(row: &Row) -> Result<TokenRow, SiteError> {
    let used = match columns::instant_or_none(row, "used_at")? {
        None => None,
        Some(at) => Some(Used {
            at,
            key_sha256: row.try_get::<Option<String>, _>("key_sha256")?.unwrap_or_default(),
            certificate_pem: row.try_get::<Option<String>, _>("certificate_pem")?.unwrap_or_default(),
            is_revoked: columns::instant_or_none(row, "certificate_revoked_at")?.is_some()
                || columns::instant_or_none(row, "site_revoked_at")?.is_some(),
        }),
    };
    Ok(TokenRow {
        site: columns::parsed(row, "site_id")?,
        expires_at: columns::instant(row, "expires_at")?,
        is_withdrawn: columns::instant_or_none(row, "withdrawn_at")?.is_some(),
        used,
        addresses: addresses(row)?,
    })
}

fn addresses(row: &Row) -> Result<Vec<String>, SiteError> {
    let text: String = row.try_get("addresses")?;
    Ok(text.split(',').filter(|address| !address.is_empty()).map(str::to_owned).collect())
}

pub(super) async fn use_token(
    connection: &mut Connection,
    digest: &str,
    certificate_sha256: &str,
    now: UnixMillis,
) -> Result<(), SiteError> {
    sqlx::query("UPDATE enrolment_tokens SET used_at = $2, certificate_sha256 = $3 WHERE digest = $1")
        .bind(digest)
        .bind(now.0)
        .bind(certificate_sha256)
        .execute(connection)
        .await?;
    Ok(())
}

/// Where the site reaches head office by the ticket that it came with, when that is not as the settings say.
pub(super) async fn addresses_of(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Vec<String>, SiteError> {
    let row = sqlx::query(
        "SELECT addresses FROM enrolment_tokens WHERE site_id = $1 AND used_at IS NOT NULL \
         ORDER BY made_at DESC LIMIT 1",
    )
    .bind(site.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map_or_else(|| Ok(Vec::new()), addresses)
}

/// How many certificates the site got since then.
async fn issued_since(
    connection: &mut Connection,
    site: &SiteId,
    since: UnixMillis,
) -> Result<u32, SiteError> {
    let query =
        "SELECT COUNT(*) AS certificates FROM site_certificates WHERE site_id = $1 AND issued_at > $2";
    let row = sqlx::query(query).bind(site.as_str()).bind(since.0).fetch_one(connection).await?;
    Ok(columns::unsigned(&row, "certificates")?)
}

/// Until when a ticket of the site waits for its device; `None` when none does.
pub(super) async fn open_until(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, SiteError> {
    let row = sqlx::query(
        "SELECT MAX(expires_at) AS expires_at FROM enrolment_tokens \
         WHERE site_id = $1 AND used_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2",
    )
    .bind(site.as_str())
    .bind(now.0)
    .fetch_one(connection)
    .await?;
    Ok(columns::instant_or_none(&row, "expires_at")?)
}

/// A certificate of the site, and what came after it for `key_sha256`.
pub(super) async fn certificate(
    connection: &mut Connection,
    site: &SiteId,
    sha256: &str,
    key_sha256: &str,
    now: UnixMillis,
) -> Result<Option<CertificateRow>, SiteError> {
    let row = sqlx::query(
        "SELECT c.expires_at, c.revoked_at AS certificate_revoked_at, s.revoked_at AS site_revoked_at, \
                (SELECT n.certificate_pem FROM site_certificates n \
                 WHERE n.site_id = c.site_id AND n.issued_at > c.issued_at AND n.revoked_at IS NULL \
                       AND n.key_sha256 = $3 ORDER BY n.issued_at DESC LIMIT 1) AS next_pem \
         FROM site_certificates c JOIN sites s ON s.id = c.site_id \
         WHERE c.sha256 = $1 AND c.site_id = $2",
    )
    .bind(sha256)
    .bind(site.as_str())
    .bind(key_sha256)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(CertificateRow {
        expires_at: columns::instant(&row, "expires_at")?,
        is_revoked: columns::instant_or_none(&row, "certificate_revoked_at")?.is_some()
            || columns::instant_or_none(&row, "site_revoked_at")?.is_some(),
        next_pem: row.try_get("next_pem")?,
        in_a_day: issued_since(connection, site, now.minus(DAY)).await?,
    }))
}

/// Revokes what the site had before this certificate; how many that were.
pub(super) async fn revoke_older(
    connection: &mut Connection,
    site: &SiteId,
    sha256: &str,
    now: UnixMillis,
) -> Result<u64, SiteError> {
    let done = sqlx::query(
        "UPDATE site_certificates SET revoked_at = $3 \
         WHERE site_id = $1 AND revoked_at IS NULL AND sha256 <> $2 \
               AND issued_at <= (SELECT issued_at FROM site_certificates WHERE sha256 = $2)",
    )
    .bind(site.as_str())
    .bind(sha256)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
