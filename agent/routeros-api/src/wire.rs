//! The wire: length-prefixed words, closed into sentences by a word of length zero.
//!
//! Sans-IO: bytes go in by [`Decoder::feed`], sentences come out of [`Decoder::poll`], and nothing here
//! knows a socket. It refuses control bytes (`0xF1..=0xFF`) and anything above its [`Limits`] *before*
//! memory is set aside for it. What a word says is in [`crate::word`]; what a reply means is in
//! `crate::sentence`.
//!
//! ```text
//! 0x00..=0x7F                       1 byte    up to 0x7F
//! 0x80.. (10xx xxxx)                2 bytes   up to 0x3FFF
//! 0xC0.. (110x xxxx)                3 bytes   up to 0x1F_FFFF
//! 0xE0.. (1110 xxxx)                4 bytes   up to 0xFFF_FFFF
//! 0xF0                              5 bytes   up to 0xFFFF_FFFF (RouterOS never sends it)
//! 0xF1..=0xFF                       refused: reserved, and nothing after it can be understood
//! ```

use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::word::{Shown, split_api_attribute, split_attribute};

/// A word of RouterOS is a setting or a script source; the longest seen in the field is a 64 KiB script.
const WORD_BYTES: usize = 1024 * 1024;
/// A full row of the widest menu has about 80 words.
const WORDS: usize = 4096;
/// Room for one word at its limit and as much again around it.
const SENTENCE_BYTES: usize = 2 * 1024 * 1024;
/// A drained buffer larger than this is given back to the allocator rather than kept for the next row.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// How much one peer may make the decoder hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest word, in bytes. Default 1 MiB.
    pub word_bytes: usize,
    /// Most words in one sentence. Default 4096.
    pub words: usize,
    /// Longest sentence, in bytes with its length prefixes. Default 2 MiB.
    pub sentence_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { word_bytes: WORD_BYTES, words: WORDS, sentence_bytes: SENTENCE_BYTES }
    }
}

/// Why a stream of bytes is not (or may not become) sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A length began with a reserved control byte; the rest of the stream has no meaning.
    #[error("length prefix starts with the reserved control byte {byte:#04x}")]
    ControlByte {
        /// The byte found, `0xF1..=0xFF`.
        byte: u8,
    },
    /// A word claims (or has) more bytes than allowed.
    #[error("word of {claimed} bytes is over the limit of {limit}")]
    WordTooLong {
        /// Bytes claimed by the prefix.
        claimed: usize,
        /// The limit that refused it.
        limit: usize,
    },
    /// A sentence has more words than allowed.
    #[error("sentence has more than {limit} words")]
    TooManyWords {
        /// The limit that refused it.
        limit: usize,
    },
    /// A sentence would grow longer than allowed.
    #[error("sentence is longer than {limit} bytes")]
    SentenceTooLong {
        /// The limit that refused it.
        limit: usize,
    },
    /// A word to be sent is empty: it would end the sentence early and the router would take the words
    /// after it for the next command.
    #[error("a word to send is empty, which would end the sentence early")]
    EmptyWord,
}

/// One sentence: its words in the order they were sent, without the closing empty word.
///
/// `Debug` never shows the value of an attribute whose name speaks of a password, secret, response or
/// key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sentence(pub Vec<Bytes>);

impl Sentence {
    /// The first word: the command or the kind of reply. `None` only for a sentence made by hand.
    #[must_use]
    pub fn first(&self) -> Option<&Bytes> {
        self.0.first()
    }

    /// The value of `=name=…`. When a name is repeated the last one wins.
    #[must_use]
    pub fn attribute(&self, name: impl AsRef<[u8]>) -> Option<Bytes> {
        self.0.iter().rev().find_map(|word| match split_attribute(word) {
            Some((found, value)) if found == name.as_ref() => Some(word.slice_ref(value)),
            _ => None,
        })
    }

    /// The tag of the sentence (`.tag=…`, anywhere in it). An empty tag counts as none.
    #[must_use]
    pub fn tag(&self) -> Option<Bytes> {
        self.0.iter().rev().find_map(|word| match split_api_attribute(word) {
            Some((b"tag", value)) if !value.is_empty() => Some(word.slice_ref(value)),
            _ => None,
        })
    }

    /// Every `=name=value` in the order sent, repeats included.
    pub fn attributes(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.0.iter().filter_map(|word| {
            split_attribute(word).map(|(name, value)| (word.slice_ref(name), word.slice_ref(value)))
        })
    }
}

impl fmt::Debug for Sentence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|word| Shown(word))).finish()
    }
}

impl<W: Into<Bytes>> FromIterator<W> for Sentence {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

/// Turns fed bytes into sentences; after an error it repeats that error for ever.
///
/// Memory: what was fed and not yet polled, at most one unfinished sentence of it. Feed one read at a
/// time and poll until `None`. A finished sentence owns one allocation of its own size, so keeping one
/// value of it never keeps a read buffer alive.
///
/// Non-canonical lengths (a short word behind a long prefix) are accepted: the limits hold all the same.
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    /// Where the words of the unfinished sentence lie in `buffer`.
    words: Vec<Range<usize>>,
    /// How far `buffer` has been read; the next length prefix starts here.
    scanned: usize,
    poison: Option<WireError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), words: Vec::new(), scanned: 0, poison: None }
    }

    /// Takes bytes as they arrived, in any chunking. A poisoned decoder drops them.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.poison.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole sentence, or `None` until more bytes are fed. Empty sentences are skipped.
    ///
    /// # Errors
    /// When the stream breaks the framing or a limit. The decoder is poisoned from then on: it gives the
    /// same error at every call, since no later byte can be trusted.
    pub fn poll(&mut self) -> Result<Option<Sentence>, WireError> {
        if let Some(error) = self.poison {
            return Err(error);
        }
        self.scan().inspect_err(|error| {
            self.poison = Some(*error);
            self.buffer = BytesMut::new();
            self.words = Vec::new();
        })
    }

    /// Bytes fed that are not yet part of a sentence handed out. Zero at a clean end of stream.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn scan(&mut self) -> Result<Option<Sentence>, WireError> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some((length, prefix_bytes)) = decode_length(rest)? else { return Ok(None) };
            let start = self.scanned.saturating_add(prefix_bytes);
            if length == 0 {
                self.scanned = start;
                match self.take_sentence() {
                    Some(sentence) => return Ok(Some(sentence)),
                    None => continue,
                }
            }
            let end = start.saturating_add(length);
            self.admit(length, end)?;
            if self.buffer.len() < end {
                return Ok(None);
            }
            self.words.push(start..end);
            self.scanned = end;
        }
    }

    /// Whether a word of this length, ending here in the sentence, may come: asked before it is awaited.
    fn admit(&self, length: usize, end: usize) -> Result<(), WireError> {
        let Limits { word_bytes, words, sentence_bytes } = self.limits;
        if length > word_bytes {
            return Err(WireError::WordTooLong { claimed: length, limit: word_bytes });
        }
        if self.words.len() >= words {
            return Err(WireError::TooManyWords { limit: words });
        }
        if end > sentence_bytes {
            return Err(WireError::SentenceTooLong { limit: sentence_bytes });
        }
        Ok(())
    }

    fn take_sentence(&mut self) -> Option<Sentence> {
        let sentence = if self.words.is_empty() {
            None
        } else {
            let own = Bytes::copy_from_slice(self.buffer.get(..self.scanned).unwrap_or_default());
            Some(Sentence(self.words.drain(..).map(|range| own.slice(range)).collect()))
        };
        self.buffer.advance(self.scanned);
        self.scanned = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
        sentence
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sizes only: the buffer may hold a password.
        formatter
            .debug_struct("Decoder")
            .field("limits", &self.limits)
            .field("pending_bytes", &self.buffer.len())
            .field("pending_words", &self.words.len())
            .field("poison", &self.poison)
            .finish()
    }
}

/// Reads a length prefix: `(length, bytes of the prefix)`, or `None` while the prefix is incomplete.
///
/// # Errors
/// [`WireError::ControlByte`] for `0xF1..=0xFF`.
pub fn decode_length(input: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let Some(first) = input.first().copied() else { return Ok(None) };
    let (first_bits, prefix_bytes) = match first {
        0x00..=0x7F => (first, 1),
        0x80..=0xBF => (first & 0x3F, 2),
        0xC0..=0xDF => (first & 0x1F, 3),
        0xE0..=0xEF => (first & 0x0F, 4),
        0xF0 => (0, 5),
        byte => return Err(WireError::ControlByte { byte }),
    };
    let Some(more) = input.get(1..prefix_bytes) else { return Ok(None) };
    let length = more.iter().fold(u32::from(first_bits), |length, byte| (length << 8) | u32::from(*byte));
    Ok(Some((usize::try_from(length).unwrap_or(usize::MAX), prefix_bytes)))
}

/// Appends the shortest prefix for a word of `length` bytes.
///
/// # Errors
/// [`WireError::WordTooLong`] above `0xFFFF_FFFF`, the most that the format can say. (RouterOS itself
/// stops at four bytes, `0xFFF_FFFF`; senders are held far lower by [`Limits`].)
pub fn encode_length(length: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let too_long =
        WireError::WordTooLong { claimed: length, limit: usize::try_from(u32::MAX).unwrap_or(usize::MAX) };
    let value = u32::try_from(length).map_err(|_| too_long)?;
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        0..=0x7F => out.push(d),
        0x80..=0x3FFF => out.extend_from_slice(&[c | 0x80, d]),
        0x4000..=0x1F_FFFF => out.extend_from_slice(&[b | 0xC0, c, d]),
        0x20_0000..=0xFFF_FFFF => out.extend_from_slice(&[a | 0xE0, b, c, d]),
        _ => out.extend_from_slice(&[0xF0, a, b, c, d]),
    }
    Ok(())
}

/// Appends one whole sentence, closing word included. No words give the empty sentence, a lone `0x00`.
///
/// # Errors
/// When a word is empty or too long for the format; `out` is then left as it was.
pub fn encode_sentence<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) -> Result<(), WireError> {
    let before = out.len();
    let result = words.iter().try_for_each(|word| {
        let word = word.as_ref();
        if word.is_empty() {
            return Err(WireError::EmptyWord);
        }
        encode_length(word.len(), out)?;
        out.extend_from_slice(word);
        Ok(())
    });
    match result {
        Ok(()) => out.push(0),
        Err(_) => out.truncate(before),
    }
    result
}

#[cfg(test)]
mod tests;
