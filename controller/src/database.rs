//! The database: where it is, how it is opened, and the two pools over it.
//!
//! SQLite has one writer. Writes therefore go through a pool of one connection, so that transactions queue in
//! memory in order instead of failing with "database is locked"; reads have their own pool and never wait for a
//! write (WAL). All SQL is in files called `store.rs`, in the subset that SQLite and PostgreSQL share.

use std::time::Duration;

use sqlx::AnyConnection;
use sqlx::any::{Any, AnyPoolOptions};
use thiserror::Error;

/// A connection inside or outside a transaction; what every function in a `store.rs` takes.
pub type Connection = AnyConnection;
/// A transaction. Dropping it rolls back.
pub type Transaction = sqlx::Transaction<'static, Any>;
/// A row of any query.
pub type Row = sqlx::any::AnyRow;

/// Readers at the same time. Pages are short; more would only fight for two cores.
const READERS: u32 = 4;
/// How long a request waits for a connection before it fails: longer than any write we do, shorter than a browser waits.
const ACQUIRE: Duration = Duration::from_secs(15);

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The URL is not one that this build can open.
    #[error("[database] url {0:?} is not supported: use sqlite:///path/to/tawi.db")]
    UnsupportedUrl(String),
    /// It does not open.
    #[error("opening the database: {0}")]
    Open(#[source] sqlx::Error),
    /// A migration fails.
    #[error("bringing the database up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// Both pools. Clones share them.
#[derive(Clone, Debug)]
pub struct Database {
    writer: sqlx::Pool<Any>,
    readers: sqlx::Pool<Any>,
}

impl Database {
    /// Opens (and creates) the database at `url` and brings its tables up to date.
    ///
    /// # Errors
    /// [`DatabaseError`] says which step failed.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        if !url.starts_with("sqlite:") {
            return Err(DatabaseError::UnsupportedUrl(url.to_owned()));
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        let writer = pool(&format!("{url}{separator}mode=rwc"), 1).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = pool(url, READERS).await?;
        Ok(Self { writer, readers })
    }

    /// Begins a transaction that may write. They run one after another on SQLite.
    ///
    /// # Errors
    /// When no connection is free within 15 s, or the database is gone.
    pub async fn write(&self) -> Result<Transaction, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// A connection for reading. It sees all that was committed before.
    ///
    /// # Errors
    /// When no connection is free within 15 s, or the database is gone.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Any>, sqlx::Error> {
        self.readers.acquire().await
    }

    /// Closes both pools and waits for what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn pool(url: &str, connections: u32) -> Result<sqlx::Pool<Any>, DatabaseError> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| Box::pin(configure(connection)))
        .connect(url)
        .await
        .map_err(DatabaseError::Open)
}

/// WAL lets readers go on during a write; FULL makes a commit survive a power cut, which money needs.
async fn configure(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA busy_timeout = 10000; PRAGMA temp_store = MEMORY;",
    )
    .execute(connection)
    .await?;
    Ok(())
}
