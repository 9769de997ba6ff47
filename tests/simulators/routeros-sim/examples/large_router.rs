//! How fast the simulator answers with a large router behind it: 10,000 secrets, 1,500 sessions, 5 ms of latency.
//!
//! Prints figures and judges none: a simulator that is slower than the client under test would measure itself.
//! `cargo run --release -p routeros-sim --example large_router`

use std::time::Duration;

use anyhow::{Context, bail};
use routeros_api::wire::{Decoder, Limits, encode_sentence};
use routeros_sim::{NewDevice, Service, Settings, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const SECRETS: usize = 10_000;
const SESSIONS: usize = 1_500;
const LATENCY_MS: u64 = 5;
const ASKED: usize = 200;

struct Client {
    stream: TcpStream,
    decoder: Decoder,
}

impl Client {
    /// Sends a sentence of words that are separated by spaces; the rows that come back.
    async fn ask(&mut self, line: &str) -> anyhow::Result<usize> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = Vec::new();
        encode_sentence(&words, &mut bytes)?;
        self.stream.write_all(&bytes).await?;
        let mut rows: usize = 0;
        let mut buffer = vec![0; 65_536];
        loop {
            while let Some(sentence) = self.decoder.poll()? {
                match sentence.0.first().map(AsRef::<[u8]>::as_ref) {
                    Some(b"!re") => rows = rows.saturating_add(1),
                    Some(b"!done") => return Ok(rows),
                    Some(b"!trap" | b"!fatal") => bail!("the router refused {line}"),
                    _ => {}
                }
            }
            let count = self.stream.read(&mut buffer).await?;
            self.decoder.feed(buffer.get(..count).filter(|bytes| !bytes.is_empty()).context("cut off")?);
        }
    }

    async fn timed(&mut self, line: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let rows = self.ask(line).await?;
        println!("{:>8.1} ms  {rows:>6} rows  {line}", started.elapsed().as_secs_f64() * 1_000.0);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let many = Settings { foreign_secrets: SECRETS, latency_ms: LATENCY_MS, ..Settings::default() };
    let simulator = Simulator::start(many).await?;
    let router = simulator.router();
    router.set_row("ppp/profile", "default", &[("rate-limit", "5M/20M")])?;
    let started = Instant::now();
    for number in 1..=SESSIONS {
        let name = format!("foreign-{number:05}");
        router.add_device(NewDevice::new(&name, Service::Pppoe, &name, &name))?;
    }
    let all_in = || (router.summary().sessions == SESSIONS).then_some(());
    router.wait_for(Duration::from_secs(120), all_in).await?;
    println!("{:>8.1} ms  {SESSIONS} devices dialled in", started.elapsed().as_secs_f64() * 1_000.0);

    let stream = TcpStream::connect(simulator.api_address()).await?;
    stream.set_nodelay(true)?;
    let mut client = Client { stream, decoder: Decoder::new(Limits::default()) };
    client.ask("/login =name=admin =password=").await?;
    client.timed("/ppp/secret/print").await?;
    client.timed("/ppp/secret/print =.proplist=.id,name,profile,disabled,comment").await?;
    client.timed("/ppp/active/print").await?;
    client.timed("/interface/print =.proplist=.id,name,type,rx-byte,tx-byte ?type=pppoe-in").await?;
    client.timed("/queue/simple/print =.proplist=.id,name,bytes ?dynamic=true").await?;

    let mut took = Vec::with_capacity(ASKED);
    for number in 1..=ASKED {
        let line = format!("/ppp/secret/print ?name=foreign-{:05}", number * SECRETS / ASKED);
        let started = Instant::now();
        client.ask(&line).await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took.get(ASKED * share / 100).map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
    println!("{:>8.1} ms  median, {:.1} ms at 99 %: one secret by its name, {ASKED} times", at(50), at(99));
    let started = Instant::now();
    for device in router.devices() {
        router.move_traffic(&device.name, 1_000, 20_000)?;
    }
    println!("{:>8.1} ms  traffic of every device", started.elapsed().as_secs_f64() * 1_000.0);
    simulator.stop().await;
    Ok(())
}
