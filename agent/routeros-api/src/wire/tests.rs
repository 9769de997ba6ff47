//! The codec against published vectors, its limits, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

/// Lengths and their bytes as three other implementations publish them.
const GOLDEN_LENGTHS: [(usize, &[u8]); 12] = [
    (0, &[0x00]),
    (0x7F, &[0x7F]),
    (0x80, &[0x80, 0x80]),
    (0x82, &[0x80, 0x82]),
    (0x3FFF, &[0xBF, 0xFF]),
    (0x4000, &[0xC0, 0x40, 0x00]),
    (0x1F_FFF4, &[0xDF, 0xFF, 0xF4]),
    (0x1F_FFFF, &[0xDF, 0xFF, 0xFF]),
    (0x20_0000, &[0xE0, 0x20, 0x00, 0x00]),
    (0xFFF_FFF0, &[0xEF, 0xFF, 0xFF, 0xF0]),
    (0xFFF_FFFF, &[0xEF, 0xFF, 0xFF, 0xFF]),
    (0x1000_0000, &[0xF0, 0x10, 0x00, 0x00, 0x00]),
];

fn encoded_length(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_length(length, &mut out).unwrap();
    out
}

fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_sentence(words, &mut out).unwrap();
    out
}

fn decode_all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Sentence>, WireError> {
    decoder.feed(bytes);
    let mut sentences = Vec::new();
    while let Some(sentence) = decoder.poll()? {
        sentences.push(sentence);
    }
    Ok(sentences)
}

#[test]
fn lengths_match_the_golden_vectors_both_ways() {
    for (length, bytes) in GOLDEN_LENGTHS {
        assert_eq!(encoded_length(length), bytes, "encoding {length:#x}");
        assert_eq!(decode_length(bytes), Ok(Some((length, bytes.len()))), "decoding {length:#x}");
    }
}

#[test]
fn each_length_class_turns_over_exactly_at_its_boundary() {
    for (last_of_class, prefix_bytes) in [(0x7F, 1), (0x3FFF, 2), (0x1F_FFFF, 3), (0xFFF_FFFF, 4)] {
        for (length, expected) in [
            (last_of_class - 1, prefix_bytes),
            (last_of_class, prefix_bytes),
            (last_of_class + 1, prefix_bytes + 1),
        ] {
            let bytes = encoded_length(length);
            assert_eq!(bytes.len(), expected, "{length:#x}");
            assert_eq!(decode_length(&bytes), Ok(Some((length, expected))));
        }
    }
}

#[test]
fn words_around_each_boundary_survive_whole() {
    let limits = Limits { word_bytes: 0x20_0001, words: 16, sentence_bytes: 0x40_0000 };
    for last_of_class in [0x7F, 0x3FFF, 0x1F_FFFF] {
        for length in [last_of_class - 1, last_of_class, last_of_class + 1] {
            let mut word = vec![b'x'; length];
            word[length - 1] = b'y';
            let bytes = encoded(&[b"!re", &word, b"=after=it"]);
            let sentences = decode_all(&mut Decoder::new(limits), &bytes).unwrap();
            assert_eq!(sentences.len(), 1);
            assert_eq!(sentences[0].0[1], word, "{length:#x}");
            assert_eq!(sentences[0].attribute("after").as_deref(), Some(&b"it"[..]), "{length:#x}");
        }
    }
}

#[test]
fn a_length_that_the_format_cannot_say_is_refused() {
    let mut out = Vec::new();
    assert!(matches!(encode_length(0x1_0000_0000, &mut out), Err(WireError::WordTooLong { .. })));
    assert!(out.is_empty());
}

#[test]
fn a_length_prefix_split_at_every_byte_waits_and_then_decodes() {
    for (length, bytes) in GOLDEN_LENGTHS {
        for cut in 0..bytes.len() {
            assert_eq!(decode_length(&bytes[..cut]), Ok(None), "{length:#x} cut at {cut}");
        }
    }
}

#[test]
fn a_long_way_to_say_a_short_length_is_accepted() {
    let mut decoder = Decoder::new(Limits::default());
    let sentences = decode_all(&mut decoder, b"\x80\x05!done\x00").unwrap();
    assert_eq!(sentences, [Sentence::from_iter([&b"!done"[..]])]);
    let sentences = decode_all(&mut decoder, b"\xf0\x00\x00\x00\x05!done\xe0\x00\x00\x00").unwrap();
    assert_eq!(sentences, [Sentence::from_iter([&b"!done"[..]])]);
}

#[test]
fn every_reserved_control_byte_is_refused_and_poisons_the_decoder() {
    for byte in 0xF1..=0xFF {
        let mut decoder = Decoder::new(Limits::default());
        assert_eq!(decode_all(&mut decoder, &[byte]), Err(WireError::ControlByte { byte }));
        assert_eq!(decode_all(&mut decoder, b"\x05!done\x00"), Err(WireError::ControlByte { byte }));
        assert_eq!(decoder.pending_bytes(), 0, "a poisoned decoder holds nothing");
    }
}

#[test]
fn a_word_that_claims_a_gibibyte_is_refused_before_any_memory_is_set_aside() {
    for claim in [&b"\xf0\x40\x00\x00\x00"[..], b"\xef\xff\xff\xff", b"\xf0\xff\xff\xff\xff"] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(claim);
        assert!(decoder.buffer.capacity() < 1024);
        assert!(matches!(decoder.poll(), Err(WireError::WordTooLong { limit: WORD_BYTES, .. })));
        assert_eq!(decoder.buffer.capacity(), 0);
    }
}

#[test]
fn limits_admit_what_is_exactly_at_them_and_refuse_one_more() {
    let limits = Limits { word_bytes: 8, words: 3, sentence_bytes: 20 };
    let check = |words: &[&[u8]]| decode_all(&mut Decoder::new(limits), &encoded(words)).map(|s| s.len());
    assert_eq!(check(&[b"12345678"]), Ok(1));
    assert_eq!(check(&[b"123456789"]), Err(WireError::WordTooLong { claimed: 9, limit: 8 }));
    assert_eq!(check(&[b"1", b"2", b"3"]), Ok(1));
    assert_eq!(check(&[b"1", b"2", b"3", b"4"]), Err(WireError::TooManyWords { limit: 3 }));
    assert_eq!(check(&[b"12345678", b"12345678", b"1"]), Ok(1));
    assert_eq!(check(&[b"12345678", b"12345678", b"12"]), Err(WireError::SentenceTooLong { limit: 20 }));
}

#[test]
fn an_endless_sentence_is_cut_off_at_its_limit() {
    let limits = Limits { word_bytes: 1024, words: 64, sentence_bytes: 16 * 1024 };
    let mut decoder = Decoder::new(limits);
    let word = [&encoded_length(1000)[..], &[b'x'; 1000]].concat();
    let mut fed = 0;
    let error = loop {
        fed += word.len();
        assert!(fed <= limits.sentence_bytes + 2 * word.len(), "the decoder kept reading");
        if let Err(error) = decode_all(&mut decoder, &word) {
            break error;
        }
    };
    assert_eq!(error, WireError::SentenceTooLong { limit: limits.sentence_bytes });
}

#[test]
fn empty_sentences_are_ignored_wherever_they_stand() {
    let mut bytes = vec![0, 0, 0];
    bytes.extend(encoded(&[b"!re", b"=a=b"]));
    bytes.extend([0, 0]);
    bytes.extend(encoded(&[b"!done"]));
    bytes.push(0);
    let mut decoder = Decoder::new(Limits::default());
    let sentences = decode_all(&mut decoder, &bytes).unwrap();
    assert_eq!(sentences.len(), 2);
    assert_eq!(decoder.pending_bytes(), 0);
}

#[test]
fn a_sentence_with_an_empty_word_cannot_be_sent() {
    let mut out = b"kept".to_vec();
    assert_eq!(encode_sentence(&[&b"/login"[..], b""], &mut out), Err(WireError::EmptyWord));
    assert_eq!(out, b"kept", "a refused sentence leaves nothing half written");
}

#[test]
fn of_a_repeated_attribute_the_last_one_wins() {
    let sentence = Sentence::from_iter([&b"!re"[..], b"=name=first", b"=name=second", b".tag=7"]);
    assert_eq!(sentence.attribute("name").as_deref(), Some(&b"second"[..]));
    assert_eq!(sentence.attributes().count(), 2);
    assert_eq!(sentence.attribute("nam"), None);
}

#[test]
fn a_tag_is_found_anywhere_and_an_empty_one_is_none() {
    let tag = |words: &[&'static [u8]]| words.iter().copied().collect::<Sentence>().tag();
    assert_eq!(tag(&[b"!re", b".tag=7", b"=a=b"]).as_deref(), Some(&b"7"[..]));
    assert_eq!(tag(&[b"!re", b"=a=b", b".tag=7"]).as_deref(), Some(&b"7"[..]));
    assert_eq!(tag(&[b"!done", b".tag="]), None);
    assert_eq!(tag(&[b"!done", b"=tag=7"]), None);
}

#[test]
fn bytes_that_are_not_text_survive_and_secrets_are_not_shown() {
    let bytes = encoded(&[b"!re", b"=comment=caf\xe9", b"=password=hunter2"]);
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&bytes[..bytes.len() - 1]);
    assert!(!format!("{decoder:?}").contains("hunter2"));
    let sentence = decode_all(&mut decoder, &[0]).unwrap().remove(0);
    assert_eq!(sentence.attribute("comment").as_deref(), Some(&b"caf\xe9"[..]));
    assert_eq!(sentence.attribute("password").as_deref(), Some(&b"hunter2"[..]));
    let shown = format!("{sentence:?}");
    assert!(!shown.contains("hunter2") && shown.contains("=password=[redacted]"), "{shown}");
}

#[test]
fn a_large_buffer_is_given_back_once_it_is_drained() {
    let mut decoder = Decoder::new(Limits::default());
    let big = vec![b'x'; WORD_BYTES];
    let sentences = decode_all(&mut decoder, &encoded(&[&big])).unwrap();
    assert_eq!(sentences[0].0[0].len(), WORD_BYTES);
    assert!(decoder.buffer.capacity() <= KEPT_BUFFER_BYTES);
}

fn sentences() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let word = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..40),
        1 => prop::collection::vec(any::<u8>(), 120..140),
        1 => (16_380_usize..16_390).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(prop::collection::vec(word, 0..6), 0..6)
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_sentences(sentences in sentences(), cuts in prop::collection::vec(1_usize..50, 1..20)) {
        let mut bytes = Vec::new();
        for words in &sentences {
            encode_sentence(words, &mut bytes).unwrap();
        }
        let expected: Vec<Sentence> = sentences
            .iter()
            .filter(|words| !words.is_empty())
            .map(|words| words.iter().cloned().collect())
            .collect();
        prop_assert_eq!(&decode_all(&mut Decoder::new(Limits::default()), &bytes).unwrap(), &expected);
        let mut decoder = Decoder::new(Limits::default());
        let mut found = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, later) = rest.split_at((*cut).min(rest.len()));
            found.extend(decode_all(&mut decoder, chunk).unwrap());
            rest = later;
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(decoder.pending_bytes(), 0);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_memory_stays_bounded(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..60)) {
        let limits = Limits { word_bytes: 128, words: 16, sentence_bytes: 512 };
        let mut decoder = Decoder::new(limits);
        for chunk in &chunks {
            if decode_all(&mut decoder, chunk).is_err() {
                prop_assert_eq!((decoder.pending_bytes(), decoder.words.capacity()), (0, 0));
            }
            // An unfinished sentence, with the prefix of its next word and no more.
            prop_assert!(decoder.pending_bytes() <= limits.sentence_bytes + 5);
            prop_assert!(decoder.words.len() <= limits.words);
        }
    }

    #[test]
    fn every_length_survives_the_round_trip(length in 0_usize..=0xFFFF_FFFF) {
        let bytes = encoded_length(length);
        prop_assert_eq!(decode_length(&bytes), Ok(Some((length, bytes.len()))));
    }
}
