//! A client of words: what is sent is written out in the test, and so is what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use routeros_api::wire::{Decoder, Limits, encode_sentence};
use routeros_sim::{Settings, Simulator};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// No reply of a sound simulator takes this long, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn start(release: &str) -> Simulator {
    Simulator::start(settings(release)).await.unwrap()
}

pub(crate) fn settings(release: &str) -> Settings {
    Settings { release: release.parse().unwrap(), password: "w".to_owned(), ..Settings::default() }
}

pub(crate) struct Client<S = TcpStream> {
    stream: S,
    decoder: Decoder,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn logged_in(simulator: &Simulator) -> Self {
        let mut client = Self::connect(simulator.api_address()).await;
        client.log_in().await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, decoder: Decoder::new(Limits::default()) }
    }

    pub(crate) async fn log_in(&mut self) {
        self.check("/login =name=admin =password=w", &["!done"]).await;
    }

    /// Sends one sentence; words are separated by spaces.
    pub(crate) async fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = Vec::new();
        encode_sentence(&words, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next sentence, its words joined by spaces; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(DEADLINE, self.read()).await.expect("the router owes an answer")
    }

    async fn read(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(sentence) = self.decoder.poll().unwrap() {
                let words = sentence.0.iter().map(|word| String::from_utf8_lossy(word).into_owned());
                return Some(words.collect::<Vec<_>>().join(" "));
            }
            // A cut connection may end in a reset instead of an end of file.
            let count = self.stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.decoder.feed(&buffer[..count]);
        }
    }

    /// Sends a sentence and returns what comes back up to `!done`.
    pub(crate) async fn talk(&mut self, line: &str) -> Vec<String> {
        self.send(line).await;
        let mut replies = Vec::new();
        loop {
            let reply = self.next().await.unwrap_or_else(|| panic!("the connection ended after {line}"));
            let is_done = reply.starts_with("!done");
            replies.push(reply);
            if is_done {
                return replies;
            }
        }
    }

    pub(crate) async fn check(&mut self, line: &str, expected: &[&str]) {
        assert_eq!(self.talk(line).await, expected, "{line}");
    }

    /// Whether nothing has come yet; bytes that are under way do not count.
    pub(crate) async fn is_quiet_for(&mut self, span: Duration) -> bool {
        tokio::time::timeout(span, self.read()).await.is_err()
    }
}
