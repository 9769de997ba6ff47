//! A router that does exactly what a test tells it to, over an in-memory pipe.
//!
//! Tests run on paused time: when everybody waits, the clock jumps to the next deadline, so a deadlock
//! shows as a timeout at once and no test sleeps.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use routeros_api::wire::{Decoder, Limits, Sentence, encode_sentence};
use routeros_api::{Client, Options, Secret, Transport};
use tokio::io::{AsyncRead as _, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;

/// Longer than any deadline of the client, so that the client's own comes first.
const PATIENCE: Duration = Duration::from_secs(600);
/// Small, so that back-pressure comes soon.
const PIPE_BYTES: usize = 4096;

pub(crate) struct Router {
    stream: DuplexStream,
    decoder: Decoder,
}

impl Router {
    /// The next sentence from the client.
    pub(crate) async fn receive(&mut self) -> Sentence {
        timeout(PATIENCE, self.receive_or_end())
            .await
            .expect("the client sent nothing")
            .expect("the client hung up")
    }

    /// The next sentence, or `None` once the client has closed the connection.
    pub(crate) async fn receive_or_end(&mut self) -> Option<Sentence> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(sentence) = self.decoder.poll().unwrap() {
                return Some(sentence);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.feed(&buffer[..count]),
            }
        }
    }

    /// A sentence that has already come, if one has.
    pub(crate) fn heard_by_now(&mut self) -> Option<Sentence> {
        let mut buffer = [0; 1024];
        let mut space = ReadBuf::new(&mut buffer);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_read(&mut context, &mut space) {
            self.decoder.feed(space.filled());
        }
        self.decoder.poll().unwrap()
    }

    /// The next sentence's tag, after checking its other words.
    pub(crate) async fn expect(&mut self, words: &[&str]) -> Bytes {
        let sentence = self.receive().await;
        let tag = sentence.tag().expect("every command after login has a tag");
        let without_tag: Vec<_> = sentence.0.iter().filter(|word| !word.starts_with(b".tag=")).collect();
        assert_eq!(without_tag, words, "{sentence:?}");
        tag
    }

    /// Some bytes of a sentence, which is lost.
    pub(crate) async fn hears_some(&mut self) {
        let mut buffer = [0; 16];
        let heard = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("the client sent nothing");
        assert_ne!(heard.unwrap(), 0, "the client hung up");
    }

    /// Whether nothing comes from the client for a second of its time.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        timeout(Duration::from_secs(1), self.receive_or_end()).await.is_err()
    }

    pub(crate) async fn send(&mut self, words: &[&str]) {
        self.try_send(words).await.expect("the client is gone");
    }

    pub(crate) async fn try_send(&mut self, words: &[&str]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        encode_sentence(words, &mut bytes).unwrap();
        self.send_bytes(&bytes).await
    }

    /// One reply of the command with this tag.
    pub(crate) async fn reply(&mut self, tag: &Bytes, words: &[&str]) {
        let tag = format!(".tag={}", std::str::from_utf8(tag).unwrap());
        self.send(&[words, &[tag.as_str()]].concat()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Takes the login and lets the client in.
    pub(crate) async fn let_in(&mut self) {
        let sentence = self.receive().await;
        assert_eq!(sentence.0, [&b"/login"[..], b"=name=api", b"=password=hunter2"]);
        self.send(&["!done"]).await;
    }

    pub(crate) async fn hang_up(self) {
        drop(self.stream);
    }
}

pub(crate) fn options() -> Options {
    Options::new("192.0.2.1", Transport::Plain, "api", Secret::new("hunter2"))
}

/// A client's end and a router's end, before anything was said.
pub(crate) fn pipe() -> (DuplexStream, Router) {
    let (ours, stream) = tokio::io::duplex(PIPE_BYTES);
    (ours, Router { stream, decoder: Decoder::new(Limits::default()) })
}

/// A client that is logged in, and its router.
pub(crate) async fn connected(options: &Options) -> (Client, Router) {
    let (ours, mut router) = pipe();
    let (client, ()) = tokio::join!(Client::over(ours, options), router.let_in());
    (client.unwrap(), router)
}
