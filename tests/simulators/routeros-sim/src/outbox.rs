//! What a connection still has to send: one lane per tag, taken in turns.
//!
//! A long print of one tag therefore does not hold up another tag, and the replies of one tag keep
//! their order, as on a real router. Pure: bytes come out, a socket takes them elsewhere.

use std::collections::VecDeque;

use routeros_api::wire::{WireError, encode_sentence};

use crate::engine::Row;
use crate::trap::Trap;

/// Sentences that a lane sends before the next lane's turn.
const SENTENCES_PER_TURN: usize = 16;
/// Bytes encoded ahead of the socket.
const AHEAD_BYTES: usize = 64 * 1024;

/// A reply sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `!re`
    Row(Row),
    /// `!empty`
    Empty,
    /// `!done`, perhaps with `=ret=`
    Done(Option<Vec<u8>>),
    /// `!trap`
    Trap(Trap),
    /// `!fatal` and its reason; never tagged
    Fatal(&'static str),
}

impl Reply {
    fn words(self, tag: &[u8]) -> Vec<Vec<u8>> {
        let attribute = |name: &str, value: &[u8]| [b"=", name.as_bytes(), b"=", value].concat();
        let mut words = match self {
            Self::Row(row) => {
                let mut words = vec![b"!re".to_vec()];
                words.extend(row.iter().map(|(name, value)| attribute(name, value)));
                words
            }
            Self::Empty => vec![b"!empty".to_vec()],
            Self::Done(ret) => {
                let mut words = vec![b"!done".to_vec()];
                words.extend(ret.map(|ret| attribute("ret", &ret)));
                words
            }
            Self::Trap(trap) => {
                let mut words = vec![b"!trap".to_vec()];
                words.extend(
                    trap.category.map(|category| attribute("category", category.to_string().as_bytes())),
                );
                words.push(attribute("message", trap.message.as_bytes()));
                words
            }
            Self::Fatal(reason) => return vec![b"!fatal".to_vec(), reason.as_bytes().to_vec()],
        };
        if !tag.is_empty() {
            words.push([b".tag=", tag].concat());
        }
        words
    }
}

struct Lane {
    tag: Vec<u8>,
    replies: VecDeque<Reply>,
}

/// Replies that wait, and the bytes that are ready.
#[derive(Default)]
pub(crate) struct Outbox {
    lanes: VecDeque<Lane>,
    waiting: usize,
    ready: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Adds a reply behind the others of its tag.
    pub(crate) fn push(&mut self, tag: &[u8], reply: Reply) {
        self.waiting = self.waiting.saturating_add(1);
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.tag == tag) {
            lane.replies.push_back(reply);
            return;
        }
        self.lanes.push_back(Lane { tag: tag.to_vec(), replies: VecDeque::from([reply]) });
    }

    /// Drops what a tag has not sent; whether there was anything.
    pub(crate) fn cancel(&mut self, tag: &[u8]) -> bool {
        let before = self.waiting;
        self.lanes.retain(|lane| lane.tag != tag);
        self.waiting = self.lanes.iter().map(|lane| lane.replies.len()).sum();
        self.waiting < before
    }

    /// The tags that have something to send.
    pub(crate) fn tags(&self) -> Vec<Vec<u8>> {
        self.lanes.iter().map(|lane| lane.tag.clone()).collect()
    }

    /// The number of replies that are not encoded yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes to send, encoding more when few are left.
    ///
    /// # Errors
    /// A reply that the wire cannot carry; the connection is then of no use.
    pub(crate) fn unsent(&mut self) -> Result<&[u8], WireError> {
        if self.sent >= self.ready.len() {
            self.ready.clear();
            self.sent = 0;
            while self.ready.len() < AHEAD_BYTES && self.encode_turn()? {}
        }
        Ok(self.ready.get(self.sent..).unwrap_or_default())
    }

    /// Counts bytes as sent.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
    }

    fn encode_turn(&mut self) -> Result<bool, WireError> {
        let Some(mut lane) = self.lanes.pop_front() else { return Ok(false) };
        for _ in 0..SENTENCES_PER_TURN {
            let Some(reply) = lane.replies.pop_front() else { break };
            self.waiting = self.waiting.saturating_sub(1);
            encode_sentence(&reply.words(&lane.tag), &mut self.ready)?;
        }
        if !lane.replies.is_empty() {
            self.lanes.push_back(lane);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routeros_api::wire::{Decoder, Limits};

    fn drained(outbox: &mut Outbox) -> Vec<String> {
        let mut decoder = Decoder::new(Limits::default());
        loop {
            let bytes = outbox.unsent().unwrap().to_vec();
            if bytes.is_empty() {
                break;
            }
            // In small steps, as a socket takes them.
            let step = bytes.len().min(7);
            decoder.feed(&bytes[..step]);
            outbox.advance(step);
        }
        let mut sentences = Vec::new();
        while let Some(sentence) = decoder.poll().unwrap() {
            sentences.push(
                sentence
                    .0
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
        sentences
    }

    #[test]
    fn a_long_reply_does_not_hold_up_another_tag_and_each_tag_keeps_its_order() {
        let mut outbox = Outbox::default();
        for number in 0..100 {
            outbox.push(b"1", Reply::Row(vec![("n", number.to_string().into_bytes())]));
        }
        outbox.push(b"1", Reply::Done(None));
        outbox.push(b"2", Reply::Done(Some(b"*A".to_vec())));
        let sentences = drained(&mut outbox);
        assert_eq!(sentences.len(), 102);
        assert_eq!(sentences[SENTENCES_PER_TURN], "!done =ret=*A .tag=2");
        let first: Vec<&String> = sentences.iter().filter(|sentence| sentence.ends_with(".tag=1")).collect();
        assert_eq!(*first[99], "!re =n=99 .tag=1");
        assert_eq!(*first[100], "!done .tag=1");
    }

    #[test]
    fn a_cancelled_tag_sends_no_more() {
        let mut outbox = Outbox::default();
        outbox.push(b"1", Reply::Empty);
        outbox.push(b"", Reply::Fatal("bye"));
        assert!(outbox.cancel(b"1"));
        assert!(!outbox.cancel(b"1"));
        assert_eq!(drained(&mut outbox), ["!fatal bye"]);
    }
}
