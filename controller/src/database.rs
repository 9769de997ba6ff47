//! The database: where it is, how it is opened, and the pools over it.
//!
//! SQLite has one writer. Writes therefore go through a pool of one connection, so that transactions queue in
//! memory in order instead of failing with "database is locked"; reads have their own pools and never wait for a
//! write (WAL). What a commit appended to the WAL is copied into the database by a connection of its own
//! ([`Database::checkpoint`]), so that no payment's commit does it. All SQL is in files called `store.rs`, in the subset
//! that SQLite and PostgreSQL share.
//!
//! SQLite prepares a statement anew each time a value is bound that its plan may depend on: the whole of a `LIMIT`, and what a
//! `WHERE` compares with a column of which the condition of an index speaks. What every payment runs through says
//! `LIMIT $1 + 0`, and has such words in its text.

mod together;

use std::time::Duration;

use sqlx::any::{Any, AnyPoolOptions};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};
use thiserror::Error;

pub use together::{Answers, Together};

/// A connection inside or outside a transaction; what every function in a `store.rs` takes.
pub type Connection = AnyConnection;
/// A transaction. Dropping it rolls back.
pub type Transaction = sqlx::Transaction<'static, Any>;
/// A row of any query.
pub type Row = sqlx::any::AnyRow;

/// Readers at the same time. Pages are short; more would only fight for two cores.
const READERS: u32 = 4;
/// Readers for what a payment waits for: the callback that arrives and the site that is told. Four slow searches on
/// pages keep none of these waiting.
const FIRST_READERS: u32 = 3;
/// Pages of the WAL (4 KiB each) above which it is cut back to nothing: 64 MiB, ten seconds of the heaviest load that
/// was measured.
const CUT_ABOVE_PAGES: i64 = 16_384;
/// Pages of the WAL above which it is written over from its beginning, as long as it is: 4 MiB. A commit that makes the file
/// longer waits for the file system's own journal, and with it for whatever other programs wrote.
const OVER_ABOVE_PAGES: i64 = 1_024;
/// Pages of the WAL at which a commit copies them itself all the same: 128 MiB. Only a process that calls no
/// [`Database::checkpoint`], or one whose reader never ends, comes so far.
const BACKSTOP_PAGES: i64 = 2 * CUT_ABOVE_PAGES;
/// How long cutting the WAL back waits for readers while it keeps writers out. It is tried again a second later.
const CUT_PATIENCE: Duration = Duration::from_millis(100);
/// Pages that a connection keeps: SQLite's own choice.
const CACHE_KIB: u32 = 2_000;
/// The same of the writer, which touches the indexes of ten tables with each payment.
const WRITER_CACHE_KIB: u32 = 8_000;
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

/// All pools. Clones share them.
#[derive(Clone, Debug)]
pub struct Database {
    writer: sqlx::Pool<Any>,
    readers: sqlx::Pool<Any>,
    first_readers: sqlx::Pool<Any>,
    checkpointer: sqlx::Pool<Any>,
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
        let writer = pool(&format!("{url}{separator}mode=rwc"), 1, BUSY, WRITER_CACHE_KIB).await?;
        migrate(&writer).await?;
        let readers = pool(url, READERS, BUSY, CACHE_KIB).await?;
        let first_readers = pool(url, FIRST_READERS, BUSY, CACHE_KIB).await?;
        let checkpointer = pool(url, 1, CUT_PATIENCE, CACHE_KIB).await?;
        Ok(Self { writer, readers, first_readers, checkpointer })
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

    /// The same for what a payment waits for. Pages and programs have no part in it.
    ///
    /// # Errors
    /// When no connection is free within 15 s, or the database is gone.
    pub async fn read_first(&self) -> Result<sqlx::pool::PoolConnection<Any>, sqlx::Error> {
        self.first_readers.acquire().await
    }

    /// Copies what was committed from the WAL into the database, beside the writer and the readers. Call it every second.
    ///
    /// # Errors
    /// When the database refuses. The WAL grows until it is called again with success.
    pub async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        self.checkpoint_and_cut_above(CUT_ABOVE_PAGES).await
    }

    async fn checkpoint_and_cut_above(&self, most: i64) -> Result<(), sqlx::Error> {
        let mut connection = self.checkpointer.acquire().await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *connection).await?;
        let pages: i64 = row.try_get("log")?;
        let is_cut = pages > most;
        if !is_cut && pages <= OVER_ABOVE_PAGES {
            return Ok(());
        }
        // Commits that go on all the time leave no moment at which all of it is copied, and it would grow for ever.
        // Nobody writes while we hold the writer, and little is left to copy.
        let _nobody_writes = self.writer.acquire().await?;
        if is_cut {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
            return Ok(());
        }
        // A reader that is not at its end keeps it from beginning anew, and nobody waits for that: there is a next second.
        let patience = CUT_PATIENCE.as_millis();
        sqlx::raw_sql("PRAGMA busy_timeout = 0;").execute(&mut *connection).await?;
        let begun = sqlx::query("PRAGMA wal_checkpoint(RESTART)").fetch_one(&mut *connection).await;
        let again = sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA busy_timeout = {patience};")));
        again.execute(&mut *connection).await?;
        begun.map(|_| ())
    }

    /// Closes all pools and waits for what is under way. The last connection to go empties the WAL.
    pub async fn close(&self) {
        for pool in [&self.checkpointer, &self.first_readers, &self.readers, &self.writer] {
            pool.close().await;
        }
    }
}

/// How long a connection waits for a lock that another process holds.
const BUSY: Duration = Duration::from_secs(10);

async fn pool(
    url: &str,
    connections: u32,
    busy: Duration,
    cache_kib: u32,
) -> Result<sqlx::Pool<Any>, DatabaseError> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE)
        .before_acquire(|connection, _| Box::pin(is_usable(connection)))
        .after_connect(move |connection, _| Box::pin(configure(connection, busy, cache_kib)))
        .connect(url)
        .await
        .map_err(DatabaseError::Open)
}

/// A disk that is full ends a transaction inside SQLite. The rollback that follows finds none and fails, and the driver goes
/// on believing in one: such a connection takes no transaction any more, and is given up. One that was dropped may still be
/// on its way to the end.
async fn is_usable(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Brings the tables up to date. An index over all that was ever booked is sorted in a file, because it need not fit into memory.
async fn migrate(writer: &sqlx::Pool<Any>) -> Result<(), DatabaseError> {
    sqlx::raw_sql("PRAGMA temp_store = FILE").execute(writer).await.map_err(DatabaseError::Open)?;
    sqlx::migrate!("./migrations").run(writer).await?;
    sqlx::raw_sql("PRAGMA temp_store = MEMORY").execute(writer).await.map_err(DatabaseError::Open)?;
    Ok(())
}

/// WAL lets readers go on during a write; FULL makes a commit survive a power cut, which money needs. Recursive triggers are
/// what makes `INSERT OR REPLACE` delete by the rules: without them it would change the ledger behind its triggers.
async fn configure(
    connection: &mut AnyConnection,
    busy: Duration,
    cache_kib: u32,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA recursive_triggers = ON; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA busy_timeout = {}; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = {BACKSTOP_PAGES};",
        busy.as_millis()
    )))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TemporaryDirectory;

    async fn open() -> (TemporaryDirectory, Database) {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let mut write = database.write().await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE bulk (id BIGINT PRIMARY KEY, body TEXT); INSERT INTO bulk VALUES (1, '')",
        )
        .execute(&mut *write)
        .await
        .unwrap();
        write.commit().await.unwrap();
        (directory, database)
    }

    /// Changes about 64 pages.
    async fn write(database: &Database) {
        let mut write = database.write().await.unwrap();
        sqlx::query("UPDATE bulk SET body = hex(randomblob(131072))").execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    }

    fn wal_bytes(directory: &TemporaryDirectory) -> u64 {
        let files = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        let wal = files.filter(|file| file.file_name().to_string_lossy().ends_with("-wal"));
        wal.map(|file| file.metadata().unwrap().len()).sum()
    }

    #[tokio::test]
    async fn the_wal_stays_bounded_while_writes_never_pause() {
        let (directory, database) = open().await;
        let (writing, most_pages) = (database.clone(), 512);
        let writing = tokio::spawn(async move {
            for _ in 0..120 {
                write(&writing).await;
            }
        });
        let mut largest = 0;
        while !writing.is_finished() {
            database.checkpoint_and_cut_above(most_pages).await.unwrap();
            largest = largest.max(wal_bytes(&directory));
        }
        writing.await.unwrap();
        // Twelve times as much was written. Between two looks a few commits go on top of the limit.
        assert!(largest < 10 * 1_024 * 1_024, "{largest}");
        database.checkpoint_and_cut_above(0).await.unwrap();
        assert_eq!(wal_bytes(&directory), 0);
        database.close().await;
        assert_eq!(wal_bytes(&directory), 0, "the end leaves nothing either");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_end_holds_up_no_commit_for_long() {
        let (directory, database) = open().await;
        let mut reader = database.read().await.unwrap();
        let mut view = sqlx::Connection::begin(&mut *reader).await.unwrap();
        sqlx::query("SELECT COUNT(*) FROM bulk").fetch_one(&mut *view).await.unwrap();
        write(&database).await;
        let before = tokio::time::Instant::now();
        database.checkpoint_and_cut_above(0).await.unwrap();
        write(&database).await;
        assert!(before.elapsed() < BUSY, "{:?}", before.elapsed());
        assert!(wal_bytes(&directory) > 0, "the reader still needs it");
        view.rollback().await.unwrap();
        drop(reader);
        database.checkpoint_and_cut_above(0).await.unwrap();
        assert_eq!(wal_bytes(&directory), 0);
    }

    #[tokio::test]
    async fn a_disk_that_was_full_takes_writes_again_once_there_is_room() {
        let (_directory, database) = open().await;
        let pages = |most: u32| AssertSqlSafe(format!("PRAGMA max_page_count = {most}"));
        let mut writing = database.write().await.unwrap();
        sqlx::raw_sql(pages(1)).execute(&mut *writing).await.unwrap();
        let full = sqlx::query("INSERT INTO bulk VALUES (2, hex(randomblob(1048576)))");
        let refused = full.execute(&mut *writing).await.unwrap_err();
        assert!(refused.to_string().contains("full"), "{refused}");
        drop(writing);
        // The limit went with the connection; a real disk is emptied by somebody.
        let mut writing = database.write().await.unwrap();
        sqlx::raw_sql(pages(1_000_000)).execute(&mut *writing).await.unwrap();
        writing.commit().await.unwrap();
        write(&database).await;
    }

    /// The conditions are those of the stores that run often, or while they hold the writer.
    #[tokio::test]
    async fn no_table_that_grows_is_read_from_end_to_end() {
        let (_directory, database) = open().await;
        let mut read = database.read().await.unwrap();
        for (table, condition) in [
            ("desired_lines", "line_id = 'x' AND site_id <> 'y' AND is_removed = 0"),
            ("usage_sessions", "sampled_at < 1"),
            ("idempotency_keys", "created_at < 1"),
            ("payment_intents", "customer_id = 'x' ORDER BY created_at DESC, id LIMIT 5"),
            ("payment_traces", "site_id = 'x' AND generation <= 1 AND published_at IS NULL"),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {condition}");
            let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut *read).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{table}: {plan:?}");
            let index = if table == "payment_traces" { "payment_traces_unpublished" } else { "_by_" };
            assert!(plan.iter().any(|step| step.contains(index)), "{table}: {plan:?}");
        }
    }

    /// Each has an index of its own, so that a short list never costs a walk through a table that is not. Payments of
    /// nobody are the exception: the index by customer has them beside each other and in order.
    #[tokio::test]
    async fn what_a_person_has_to_look_at_is_found_and_sorted_by_an_index() {
        let (_directory, database) = open().await;
        let mut read = database.read().await.unwrap();
        for (table, condition) in [
            (
                "callback_bodies",
                "needs_person = 1 AND received_at <= 9 AND (received_at < 9 OR id < 'x') \
                 ORDER BY received_at DESC, id DESC LIMIT 5",
            ),
            (
                "payment_intents",
                "state IN ('paid_unreceipted', 'review') AND is_looked_at = 0 \
                 AND updated_at <= 9 AND (updated_at < 9 OR id < 'x') ORDER BY updated_at DESC, id DESC LIMIT 5",
            ),
            (
                "pull_rows_for_review",
                "needs_person = 1 AND seen_at <= 9 AND (seen_at < 9 OR row_sha256 < 'x') \
                 ORDER BY seen_at DESC, row_sha256 DESC LIMIT 5",
            ),
            (
                "statement_rows_for_review",
                "needs_person = 1 AND seen_at <= 9 AND (seen_at < 9 OR row_sha256 < 'x') \
                 ORDER BY seen_at DESC, row_sha256 DESC LIMIT 5",
            ),
            (
                "payment_evidence",
                "needs_person = 1 AND seen_at <= 9 AND (seen_at < 9 OR payment_id < 'x') \
                 ORDER BY seen_at DESC, payment_id DESC LIMIT 5",
            ),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {condition}");
            let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut *read).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(
                plan.iter().all(|step| step.contains("USING INDEX") && step.contains("_for_review")),
                "{table}: {plan:?}"
            );
        }
    }

    #[tokio::test]
    async fn slow_searches_on_pages_keep_no_payment_waiting() {
        let (_directory, database) = open().await;
        let mut searches = Vec::new();
        for _ in 0..READERS {
            searches.push(database.read().await.unwrap());
        }
        let mut first = database.read_first().await.unwrap();
        sqlx::query("SELECT COUNT(*) FROM bulk").fetch_one(&mut *first).await.unwrap();
    }
}
