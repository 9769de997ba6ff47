//! How fast this client prints PPP secrets and changes their profile, as one line of JSON: for `make bench`, which runs
//! another client beside it. It writes to the router, so it is for a simulator.
//!
//! Time is taken in here, from the command to the last row or answer; connecting and logging in are not counted.

use std::collections::VecDeque;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use routeros_api::menu::{PppSecret, PppSecretDraft, TypedRow};
use routeros_api::wire::encode_sentence;
use routeros_api::{Client, Command, Options, REPLY_ROWS, Secret, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Commands under way at a time, where more than one is: what the client allows by default.
const AT_A_TIME: usize = 16;

/// Prints or changes the PPP secrets of a simulated router and says how long it took.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  pace 127.0.0.1:8728 changes --count 1000")]
struct Arguments {
    /// Host and port of the plain API; the user is admin, without a password
    address: String,
    /// What to do
    what: What,
    /// Changes to make
    #[arg(long, default_value_t = 1000)]
    count: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Print all secrets and read every row into its type
    Print,
    /// Print all secrets and throw the bytes away: as fast as they are given
    Bytes,
    /// Change the profile of one secret after the other, each when the one before is answered
    Changes,
    /// The same with sixteen under way
    ChangesAtOnce,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok((done, took)) => {
            println!("{{\"done\":{done},\"seconds\":{:.6}}}", took.as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pace: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(usize, Duration), Box<dyn Error>> {
    if matches!(arguments.what, What::Bytes) {
        return bytes(&arguments.address).await;
    }
    let options = Options::new(&arguments.address, Transport::Plain, "admin", Secret::default());
    let client = Client::connect(options).await?;
    let secrets = client.menu::<PppSecret>();
    let begun = Instant::now();
    let rows = secrets.print().await?;
    let printed = begun.elapsed();
    if matches!(arguments.what, What::Print) {
        return Ok((rows.len(), printed));
    }
    let depth = if matches!(arguments.what, What::ChangesAtOnce) { AT_A_TIME } else { 1 };
    let mut under_way = VecDeque::with_capacity(depth);
    let begun = Instant::now();
    let mut changes = 0_usize;
    for (number, row) in rows.iter().take(arguments.count).enumerate() {
        if under_way.len() >= depth
            && let Some(first) = under_way.pop_front()
        {
            finish(first).await?;
        }
        let profile = if number % 2 == 0 { "default-encryption" } else { "default" };
        if depth == 1 {
            secrets.set(&row.id, &PppSecretDraft::new().profile(profile)).await?;
        } else {
            let command = Command::new("/ppp/secret/set").id(&row.id).attribute("profile", profile);
            under_way.push_back(client.rows(command).await?);
        }
        changes = changes.saturating_add(1);
    }
    for stream in under_way {
        finish(stream).await?;
    }
    Ok((changes, begun.elapsed()))
}

async fn finish(mut stream: routeros_api::RowStream) -> Result<(), routeros_api::Error> {
    match stream.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// The same print, by a client that reads nothing into it: the end is the bytes of `!done`.
async fn bytes(address: &str) -> Result<(usize, Duration), Box<dyn Error>> {
    const DONE: &[u8] = b"\x05!done\x00";
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut out = Vec::new();
    encode_sentence(&["/login", "=name=admin", "=password="], &mut out)?;
    stream.write_all(&out).await?;
    // The answer is one small sentence.
    let _ = stream.read(&mut buffer).await?;
    out.clear();
    let proplist = format!("=.proplist={}", PppSecret::PROPERTIES.join(","));
    encode_sentence(&["/ppp/secret/print", proplist.as_str()], &mut out)?;
    let begun = Instant::now();
    stream.write_all(&out).await?;
    let (mut rows, mut tail) = (0_usize, Vec::new());
    loop {
        let count = stream.read(&mut buffer).await?;
        let read = buffer.get(..count).unwrap_or_default();
        tail.extend_from_slice(read);
        rows = rows.saturating_add(tail.windows(4).filter(|window| *window == b"\x03!re").count());
        if tail.ends_with(DONE) {
            return Ok((rows, begun.elapsed()));
        }
        if count == 0 || rows > REPLY_ROWS {
            return Err("the print did not end".into());
        }
        // A row's first word, and the end, may be cut between two reads.
        tail.drain(..tail.len().saturating_sub(3));
    }
}
