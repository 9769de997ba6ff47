//! `books`: prove them, and compare a day with what M-Pesa told. Read-only.

use super::arguments::BooksCommand;
use super::{Failure, Shell};
use crate::closing::api::CloseBody;
use crate::closing::{self, Close, Count, Covered, Day, Standing, proof};
use crate::web::display;

impl Shell {
    pub(super) async fn books(&self, command: BooksCommand) -> Result<(), Failure> {
        match command {
            BooksCommand::Prove => self.prove().await,
            BooksCommand::Close { day } => self.close(day.as_deref()).await,
        }
    }

    async fn prove(&self) -> Result<(), Failure> {
        let now = self.controller.clock.now();
        let proof = proof::prove(&mut *self.controller.database.read().await?, now).await?;
        let findings: Vec<String> = proof.findings.iter().map(ToString::to_string).collect();
        if findings.is_empty() {
            return self.output.say("the books are proved", &findings);
        }
        self.output.say(&findings.join("\n"), &findings)?;
        Err(Failure::refused(
            "the books do not prove: book nothing by hand until somebody has looked at the database",
        ))
    }

    async fn close(&self, day: Option<&str>) -> Result<(), Failure> {
        let now = self.controller.clock.now();
        let day = match day {
            Some(text) => Day::parse(text).ok_or_else(|| Failure::refused("use a day such as 2026-11-26"))?,
            None => Day::of(now).before(),
        };
        let mut reader = self.controller.database.read().await?;
        let mut closes = Vec::new();
        for code in closing::short_codes(&mut reader).await? {
            closes.push(closing::close(&mut reader, day, &code).await?);
        }
        let words: Vec<String> = closes.iter().map(|close| said(close, close.standing(now))).collect();
        let words =
            if words.is_empty() { "no money came by M-Pesa yet".to_owned() } else { words.join("\n") };
        let bodies: Vec<_> = closes.iter().map(|close| CloseBody::of(close, close.standing(now))).collect();
        self.output.say(&words, &bodies)?;
        match closes.iter().map(|close| close.differences_total).sum::<u64>() {
            0 => Ok(()),
            total => Err(Failure::refused(format!("{} on {day}", display::counted(total, "difference")))),
        }
    }
}

fn said(close: &Close, standing: Standing) -> String {
    let standing = match standing {
        Standing::UnderWay => "under way".to_owned(),
        Standing::Differs(total) => display::counted(total, "difference"),
        Standing::WaitsForStatement => "waits for the statement".to_owned(),
        Standing::Agrees => "agrees".to_owned(),
    };
    let mut lines = vec![
        format!("{}  {}  {standing}", close.day, close.short_code),
        count("booked", close.booked, None),
        count("Pull", close.by_pull, Some(close.pull)),
        count("statement", close.by_statement, Some(close.statement)),
    ];
    lines.push(format!("  {:<12}moved {}", "ledger", display::kes(close.moved)));
    lines.extend(close.not_compared.iter().map(|why| format!("  not compared: {why}")));
    lines.extend(close.differences.iter().map(|difference| {
        let amount = difference.amount.map_or_else(|| "?".to_owned(), display::kes);
        let (at, words) = (display::hour_minute(difference.at), difference.kind.words());
        format!("  {at}  {:<12} {amount:>14}  {words} {}", difference.receipt, difference.detail)
            .trim_end()
            .to_owned()
    }));
    lines.join("\n")
}

fn count(who: &str, count: Count, covered: Option<Covered>) -> String {
    let of = match covered {
        None => String::new(),
        Some(Covered::Not) => ", of none of the day".to_owned(),
        Some(Covered::Whole) => ", of all of the day".to_owned(),
        Some(Covered::Partly(from, until)) => {
            format!(", of what was from {} to {}", display::hour_minute(from), display::hour_minute(until))
        }
    };
    format!("  {who:<12}{} {}{of}", display::counted(count.payments, "payment"), display::kes(count.amount))
}
