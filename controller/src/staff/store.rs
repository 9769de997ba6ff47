//! All SQL of staff, their sessions, and tokens.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::{Listed, Login, Member, PasswordHash, Role, Session, StaffError, TokenHolder};
use crate::database::{Connection, Row};
use crate::ids::StaffId;

/// Whether the row is new.
pub(super) async fn insert_member(
    connection: &mut Connection,
    member: &Member,
    hash: &PasswordHash,
    now: UnixMillis,
) -> Result<bool, StaffError> {
    let done = sqlx::query(
        "INSERT INTO staff (id, login, password_hash, role, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (login) DO NOTHING",
    )
    .bind(member.id.as_str())
    .bind(member.login.as_str())
    .bind(hash.as_str())
    .bind(member.role.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Who may sign in by this login, with what the password is checked against.
pub(super) async fn member_by_login(
    connection: &mut Connection,
    login: &Login,
) -> Result<Option<(Member, PasswordHash)>, StaffError> {
    let row = sqlx::query(
        "SELECT id, login, role, password_hash FROM staff WHERE login = $1 AND disabled_at IS NULL",
    )
    .bind(login.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hash: String = row.try_get("password_hash")?;
    Ok(Some((member(&row)?, PasswordHash::stored(hash))))
}

pub(super) async fn has_members(connection: &mut Connection) -> Result<bool, StaffError> {
    let row = sqlx::query("SELECT id FROM staff LIMIT 1").fetch_optional(connection).await?;
    Ok(row.is_some())
}

/// Whether there is such a member.
pub(super) async fn set_disabled(
    connection: &mut Connection,
    login: &Login,
    disabled_at: Option<UnixMillis>,
) -> Result<bool, StaffError> {
    let done = sqlx::query("UPDATE staff SET disabled_at = $1 WHERE login = $2")
        .bind(disabled_at.map(|at| at.0))
        .bind(login.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether there is such a member.
pub(super) async fn set_password(
    connection: &mut Connection,
    login: &Login,
    hash: &PasswordHash,
) -> Result<bool, StaffError> {
    let done = sqlx::query("UPDATE staff SET password_hash = $1 WHERE login = $2")
        .bind(hash.as_str())
        .bind(login.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn members(connection: &mut Connection) -> Result<Vec<Listed>, StaffError> {
    let rows = sqlx::query(
        "SELECT login AS name, role, created_at, disabled_at AS ended_at FROM staff ORDER BY login",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(listed).collect()
}

pub(super) async fn tokens(connection: &mut Connection) -> Result<Vec<Listed>, StaffError> {
    let rows =
        sqlx::query("SELECT name, role, created_at, revoked_at AS ended_at FROM api_tokens ORDER BY name")
            .fetch_all(connection)
            .await?;
    rows.iter().map(listed).collect()
}

/// Whether there was one that still worked.
pub(super) async fn revoke_token(
    connection: &mut Connection,
    name: &str,
    now: UnixMillis,
) -> Result<bool, StaffError> {
    let done = sqlx::query("UPDATE api_tokens SET revoked_at = $1 WHERE name = $2 AND revoked_at IS NULL")
        .bind(now.0)
        .bind(name)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn delete_sessions_of(connection: &mut Connection, login: &Login) -> Result<(), StaffError> {
    sqlx::query("DELETE FROM staff_sessions WHERE staff_id IN (SELECT id FROM staff WHERE login = $1)")
        .bind(login.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_session(
    connection: &mut Connection,
    token_sha256: &str,
    staff: &StaffId,
    form_token: &str,
    (created_at, expires_at): (UnixMillis, UnixMillis),
) -> Result<(), StaffError> {
    sqlx::query(
        "INSERT INTO staff_sessions (token_sha256, staff_id, csrf_token, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(token_sha256)
    .bind(staff.as_str())
    .bind(form_token)
    .bind(created_at.0)
    .bind(expires_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn session(
    connection: &mut Connection,
    token_sha256: &str,
    now: UnixMillis,
) -> Result<Option<Session>, StaffError> {
    let row = sqlx::query(
        "SELECT f.id, f.login, f.role, s.csrf_token FROM staff_sessions s JOIN staff f ON f.id = s.staff_id \
         WHERE s.token_sha256 = $1 AND s.expires_at > $2 AND f.disabled_at IS NULL",
    )
    .bind(token_sha256)
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(Session { member: member(&row)?, form_token: row.try_get("csrf_token")? })).transpose()
}

pub(super) async fn delete_session(
    connection: &mut Connection,
    token_sha256: &str,
) -> Result<(), StaffError> {
    sqlx::query("DELETE FROM staff_sessions WHERE token_sha256 = $1")
        .bind(token_sha256)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete_sessions_before(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<u64, StaffError> {
    let done = sqlx::query(
        "DELETE FROM staff_sessions WHERE token_sha256 IN \
             (SELECT token_sha256 FROM staff_sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Whether the row is new.
pub(super) async fn insert_token(
    connection: &mut Connection,
    token_sha256: &str,
    name: &str,
    role: Role,
    now: UnixMillis,
) -> Result<bool, StaffError> {
    let done = sqlx::query(
        "INSERT INTO api_tokens (token_sha256, name, role, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(token_sha256)
    .bind(name)
    .bind(role.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn token_holder(
    connection: &mut Connection,
    token_sha256: &str,
) -> Result<Option<TokenHolder>, StaffError> {
    let row = sqlx::query("SELECT name, role FROM api_tokens WHERE token_sha256 = $1 AND revoked_at IS NULL")
        .bind(token_sha256)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(TokenHolder { name: row.try_get("name")?, role: role(&row)? })).transpose()
}

fn member(row: &Row) -> Result<Member, StaffError> {
    let id: String = row.try_get("id")?;
    let login: String = row.try_get("login")?;
    Ok(Member {
        id: StaffId::parse(&id).map_err(|_| StaffError::Row { column: "id", value: id })?,
        login: Login::parse(&login).map_err(|_| StaffError::Row { column: "login", value: login })?,
        role: role(row)?,
    })
}

fn listed(row: &Row) -> Result<Listed, StaffError> {
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    Ok(Listed {
        name: row.try_get("name")?,
        role: role(row)?,
        created_at: UnixMillis(row.try_get("created_at")?),
        ended_at: ended_at.map(UnixMillis),
    })
}

fn role(row: &Row) -> Result<Role, StaffError> {
    let role: String = row.try_get("role")?;
    Role::parse(&role).ok_or(StaffError::Row { column: "role", value: role })
}
