//! Several statements in one trip to the database.
//!
//! Every statement is handed to the thread of its connection and back, which on a busy machine takes longer than what most of
//! ours do there. Where nobody needs the answers before the next is asked, they travel together.
//!
//! SQLite takes them as one text. PostgreSQL prepares one statement at a time: there they would have to go one by one, in the
//! same order and with the same effect.

use std::collections::VecDeque;
use std::fmt;

use sqlx::any::{Any, AnyArguments};
use sqlx::error::BoxDynError;
use sqlx::{Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, Type};
use tokio_stream::StreamExt as _;

use super::{Connection, Row};

/// Statements that travel together at most, where their number is open. The connection keeps each combination prepared, and
/// combinations of many would drive out others.
const FULL: usize = 16;

/// Statements that are executed in their order; the first that fails ends it, and the transaction must then be rolled back.
#[derive(Default)]
pub struct Together {
    sql: String,
    statements: usize,
    arguments: AnyArguments,
    /// Arguments of the statements before the one that is being bound.
    before: usize,
    bound: usize,
    unbound: Option<BoxDynError>,
}

impl fmt::Debug for Together {
    /// Without the values: passwords and phones are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("statements", &self.statements).finish_non_exhaustive()
    }
}

impl Together {
    /// One more statement. Its parameters are `$1` and on, as in any other; bind all of them next. What looks like a
    /// parameter inside a literal would be taken for one.
    pub fn add(&mut self, sql: &'static str) -> &mut Self {
        self.before = self.bound;
        self.statements += 1;
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
        let mut parts = sql.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.sql.push('$');
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = part.split_at_checked(digits).unwrap_or(("", part));
            if let Ok(number) = digits.parse::<usize>() {
                self.sql.push_str(&number.saturating_add(self.before).to_string());
            }
            self.sql.push_str(rest);
        }
        self
    }

    /// Binds the next parameter of the statement that was added last.
    pub fn bind<'t>(&mut self, value: impl Encode<'t, Any> + Type<Any>) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.unbound.get_or_insert(error);
        }
        self.bound += 1;
        self
    }

    /// Executes them; says how many rows they changed, all in all.
    ///
    /// # Errors
    /// When the database refuses one of them.
    pub async fn execute(self, connection: &mut Connection) -> Result<u64, sqlx::Error> {
        if self.statements == 0 {
            return Ok(0);
        }
        if let Some(error) = self.unbound {
            return Err(sqlx::Error::Encode(error));
        }
        // Statements are literals of ours, and values are bound.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        Ok(query.execute(connection).await?.rows_affected())
    }

    /// Executes them; gives what each answered, in their order.
    ///
    /// # Errors
    /// When the database refuses one of them.
    pub async fn fetch(self, connection: &mut Connection) -> Result<Answers, sqlx::Error> {
        let mut all = VecDeque::with_capacity(self.statements);
        if self.statements == 0 {
            return Ok(Answers(all));
        }
        if let Some(error) = self.unbound {
            return Err(sqlx::Error::Encode(error));
        }
        let statements = self.statements;
        // Statements are literals of ours, and values are bound.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        // The rows of each are followed by a word of how many it changed.
        let mut answers = connection.fetch_many(query);
        let mut rows = Vec::new();
        while let Some(answer) = answers.try_next().await? {
            match answer {
                Either::Right(row) => rows.push(row),
                Either::Left(done) => all.push_back((std::mem::take(&mut rows), done.rows_affected())),
            }
        }
        drop(answers);
        // A connection whose thread died ends its answers without a word.
        if all.len() != statements {
            return Err(sqlx::Error::WorkerCrashed);
        }
        Ok(Answers(all))
    }

    /// Executes them once they are many, and begins anew.
    ///
    /// # Errors
    /// When the database refuses one of them.
    pub async fn execute_when_full(&mut self, connection: &mut Connection) -> Result<(), sqlx::Error> {
        if self.statements >= FULL {
            std::mem::take(self).execute(connection).await?;
        }
        Ok(())
    }
}

/// What statements that travelled together answered, in their order.
pub struct Answers(VecDeque<(Vec<Row>, u64)>);

impl fmt::Debug for Answers {
    /// Without the rows: passwords and phones are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("statements", &self.0.len()).finish_non_exhaustive()
    }
}

impl Answers {
    fn next(&mut self) -> Result<(Vec<Row>, u64), sqlx::Error> {
        self.0.pop_front().ok_or(sqlx::Error::RowNotFound)
    }

    /// The rows of the next statement, which asks.
    ///
    /// # Errors
    /// When there is no further one.
    pub fn rows(&mut self) -> Result<Vec<Row>, sqlx::Error> {
        Ok(self.next()?.0)
    }

    /// The row of the next statement, which asks for one or none.
    ///
    /// # Errors
    /// When there is no further statement.
    pub fn row(&mut self) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows()?.into_iter().next())
    }

    /// The row of the last statement, which asks for one or none.
    ///
    /// # Errors
    /// When there is none left.
    pub fn last_row(&mut self) -> Result<Option<Row>, sqlx::Error> {
        let (rows, _) = self.0.pop_back().ok_or(sqlx::Error::RowNotFound)?;
        Ok(rows.into_iter().next())
    }

    /// How many rows the next statement changed, which changes some. Of one that asks, databases say something else.
    ///
    /// # Errors
    /// When there is no further one.
    pub fn changed(&mut self) -> Result<u64, sqlx::Error> {
        Ok(self.next()?.1)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::database::Database;
    use crate::testing::TemporaryDirectory;

    async fn open() -> (TemporaryDirectory, Database) {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let mut write = database.write().await.unwrap();
        let tables = "CREATE TABLE pairs (a BIGINT PRIMARY KEY, b TEXT)";
        sqlx::raw_sql(tables).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
        (directory, database)
    }

    async fn pairs(database: &Database) -> Vec<(i64, Option<String>)> {
        let mut read = database.read().await.unwrap();
        let rows = sqlx::query("SELECT a, b FROM pairs ORDER BY a").fetch_all(&mut *read).await.unwrap();
        rows.iter().map(|row| (row.get("a"), row.get("b"))).collect()
    }

    #[tokio::test]
    async fn each_statement_has_its_own_values_and_all_changed_rows_are_counted() {
        let (_directory, database) = open().await;
        let mut write = database.write().await.unwrap();
        // Twice: the second time they are prepared already.
        for begin in [0, 10] {
            let mut together = Together::default();
            together.add("INSERT INTO pairs (b, a) VALUES ($2, $1)").bind(begin + 1).bind("one");
            together.add("INSERT INTO pairs (a) VALUES ($1), ($2)").bind(begin + 2).bind(begin + 3);
            together.add("UPDATE pairs SET b = $2 || '$' WHERE a = $1").bind(begin + 3).bind("three");
            assert_eq!(together.execute(&mut write).await.unwrap(), 4);
        }
        write.commit().await.unwrap();
        let of = |begin: i64| {
            [(begin + 1, Some("one".into())), (begin + 2, None), (begin + 3, Some("three$".into()))]
        };
        assert_eq!(pairs(&database).await, [of(0), of(10)].concat());
    }

    #[tokio::test]
    async fn a_statement_that_is_refused_ends_it_and_the_same_ones_may_be_tried_again() {
        let (_directory, database) = open().await;
        let three = |second: i64| {
            let mut together = Together::default();
            for number in [1, second, 3] {
                together.add("INSERT INTO pairs (a, b) VALUES ($1, $2)").bind(number).bind(None::<String>);
            }
            together
        };
        let mut write = database.write().await.unwrap();
        assert!(three(1).execute(&mut write).await.is_err());
        write.rollback().await.unwrap();
        assert_eq!(pairs(&database).await, []);
        let mut write = database.write().await.unwrap();
        assert_eq!(three(2).execute(&mut write).await.unwrap(), 3);
        write.commit().await.unwrap();
        assert_eq!(pairs(&database).await, [(1, None), (2, None), (3, None)]);
    }

    #[tokio::test]
    async fn each_question_has_its_own_answer_beside_changes_and_sees_those_before_it() {
        let (_directory, database) = open().await;
        let mut write = database.write().await.unwrap();
        // Twice: the second time they are prepared already.
        for begin in [0_i64, 10] {
            let mut together = Together::default();
            together.add("SELECT b FROM pairs WHERE a = $1").bind(begin + 1);
            together.add("INSERT INTO pairs (a, b) VALUES ($1, $2)").bind(begin + 1).bind("one");
            together.add("INSERT INTO pairs (a) VALUES ($1), ($2)").bind(begin + 2).bind(begin + 3);
            together.add("SELECT a, b FROM pairs WHERE a > $1 ORDER BY a").bind(begin);
            together.add("SELECT COUNT(*) AS found FROM pairs WHERE b = $1").bind("nobody's");
            let mut answers = together.fetch(&mut write).await.unwrap();
            assert!(answers.row().unwrap().is_none());
            assert_eq!((answers.changed().unwrap(), answers.changed().unwrap()), (1, 2));
            let seen = answers.rows().unwrap();
            let seen: Vec<(i64, Option<String>)> =
                seen.iter().map(|row| (row.get("a"), row.get("b"))).collect();
            assert_eq!(seen, [(begin + 1, Some("one".into())), (begin + 2, None), (begin + 3, None)]);
            assert_eq!(answers.row().unwrap().unwrap().get::<i64, _>("found"), 0);
            assert!(answers.row().is_err(), "that were all");
        }
        let mut together = Together::default();
        together.add("INSERT INTO pairs (a) VALUES ($1)").bind(30_i64);
        together.add("SELECT a FROM pairs WHERE a = $1").bind(30_i64);
        let mut answers = together.fetch(&mut write).await.unwrap();
        assert_eq!(answers.last_row().unwrap().unwrap().get::<i64, _>("a"), 30);
        let mut refused = Together::default();
        refused.add("SELECT a FROM pairs");
        refused.add("INSERT INTO pairs (a) VALUES ($1)").bind(1_i64);
        assert!(refused.fetch(&mut write).await.is_err());
        assert!(Together::default().fetch(&mut write).await.unwrap().rows().is_err());
    }

    #[tokio::test]
    async fn many_go_in_portions_and_none_is_no_trip() {
        let (_directory, database) = open().await;
        let mut write = database.write().await.unwrap();
        assert_eq!(Together::default().execute(&mut write).await.unwrap(), 0);
        let mut together = Together::default();
        let many = i64::try_from(FULL).unwrap() * 2 + 1;
        for number in 0..many {
            together.add("INSERT INTO pairs (a) VALUES ($1)").bind(number);
            together.execute_when_full(&mut write).await.unwrap();
        }
        assert_eq!(together.execute(&mut write).await.unwrap(), 1);
        write.commit().await.unwrap();
        assert_eq!(pairs(&database).await.len(), usize::try_from(many).unwrap());
    }
}
