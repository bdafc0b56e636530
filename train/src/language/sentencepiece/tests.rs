//! Against what the library makes of the same texts (`just write-sentencepiece` writes both files).

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

const SMALL: &[u8] = include_bytes!("../../../tests/sentencepiece/small.model");
const CASES: &str = include_str!("../../../tests/sentencepiece/small.json");

fn small() -> SentencePiece {
    SentencePiece::parse(SMALL).expect("a model")
}

fn cases() -> Vec<Value> {
    let json: Value = serde_json::from_str(CASES).expect("JSON");
    json["cases"].as_array().expect("cases").clone()
}

/// The ids of a text are those that a case has under `field`.
fn check(model: &SentencePiece, field: &str) {
    let cases = cases();
    assert!(cases.len() > 20);
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let ids: Vec<u32> = model.encode(text, false).into_iter().map(|(id, _)| id).collect();
        let want: Vec<u32> = serde_json::from_value(case[field].clone()).expect("ids");
        assert_eq!(ids, want, "{text:?}");
    }
}

#[test]
fn ids_are_the_librarys() {
    check(&small(), "ids");
}

/// The same model with the pieces of words of random letters, 250,100 in all as mT5 has.
#[test]
fn ids_of_a_model_as_large_as_that_of_mt5() {
    let letters: Vec<char> = "abcdefghijklmnopqrstuvwxyzäöüßčšžľ".chars().collect();
    let mut seen: BTreeSet<String> = small().pieces.into_iter().map(|piece| piece.text).collect();
    let (mut file, mut state) = (SMALL.to_vec(), 1_u64);
    while seen.len() < 250_100 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = state >> 16;
        let letter = |i: u64| letters[(bits >> (6 + 6 * i)) as usize % 64 % letters.len()];
        let word: String = (0..2 + (bits >> 1) % 4).map(letter).collect();
        let text = SPACE.repeat((bits & 1) as usize) + &word;
        if !seen.insert(text.clone()) {
            continue;
        }
        // A field with the number 1 of bytes; in it the text, and the score as a field of four bytes.
        file.extend([0x0A, text.len() as u8 + 7, 0x0A, text.len() as u8]);
        file.extend(text.bytes());
        file.push(0x15);
        file.extend((-((8192 + (bits >> 32) % 8192) as f32) / 1024.0).to_le_bytes());
    }
    let model = SentencePiece::parse(&file).expect("a model");
    assert_eq!(model.vocabulary(), 250_100);
    check(&model, "ids_enlarged");
}

#[test]
fn decoded_texts_are_the_librarys() {
    let model = small();
    for case in cases() {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let decoded = model.decode(&ids);
        // Who decodes trims the space that encoding puts before a text.
        assert_eq!(decoded.trim_start_matches(' '), case["decoded"].as_str().expect("a text"), "{ids:?}");
    }
    // Bytes that are no character, and special tokens.
    let byte = |byte: u8| model.token_to_id(&format!("<0x{byte:02X}>")).expect("a byte");
    let ids = [byte(0xC3), byte(0xA4), byte(0xE2), byte(0x82), model.unknown, model.end, byte(b'a')];
    assert_eq!(model.decode(&ids), "ä\u{FFFD}\u{FFFD}a");
}

/// By hand: a text before and behind normalisation, of which a character without a piece is written as its bytes.
#[test]
fn spans_are_those_of_the_original() {
    let model = small();
    let text = "  montag\u{A0} ﬁ 你";
    let tokens = model.encode(text, true);
    let parts: Vec<&str> = tokens.iter().map(|(_, span)| &text[span.clone()]).collect();
    assert_eq!(parts[0], "montag");
    assert_eq!(parts[parts.len() - 4..], ["你", "你", "你", ""], "{parts:?}");
    assert_eq!(tokens.last(), Some(&(1, 0..0)));
}

#[test]
fn tokens_and_ids() {
    let model = small();
    let pieces = model.pieces.len();
    assert_eq!(model.vocabulary(), pieces, "its extra tokens are in the file");
    for id in 0..pieces as u32 {
        assert_eq!(model.token_to_id(model.id_to_token(id).expect("a token")), Some(id));
    }
    assert_eq!(model.id_to_token(pieces as u32), None);
    // Without them there are the hundred of T5, the last one first.
    let text = String::from_utf8_lossy(SMALL).into_owned();
    assert!(text.contains("<extra_id_3>"));
    let mut other = SMALL.to_vec();
    for at in 0..other.len() - 10 {
        if other[at..].starts_with(b"<extra_id_") {
            other[at + 1] = b'E';
        }
    }
    let model = SentencePiece::parse(&other).expect("a model");
    assert_eq!(model.vocabulary(), pieces + 100);
    assert_eq!(model.token_to_id("<extra_id_0>"), Some(pieces as u32 + 99));
    assert_eq!(model.id_to_token(pieces as u32), Some("<extra_id_99>"));
}

#[test]
fn files_that_are_not_read() {
    let said = |file: &[u8]| SentencePiece::parse(file).err().unwrap_or_default();
    let with = |more: &[u8]| said(&[SMALL, more].concat());
    assert_eq!(with(&[]), "");
    // A specification replaces the one before it: field 2 is the trainer's, 3 and 5 are the normalisers'.
    for (more, part) in [
        (&[0x12, 2, 0x18, 2][..], "a model of BPE"),
        (&[0x12, 3, 0xC0, 1, 1], "treat_whitespace_as_suffix"),
        (&[0x1A, 2, 0x28, 0], "escape_whitespaces"),
        (&[0x1A, 3, 0x12, 1, 9], "precompiled_charsmap is cut off"),
        (&[0x2A, 3, 0x12, 1, 9], "denormalizer_spec"),
        (&[0x0A, 5, 0x0A, 1, b'q', 0x18, 2], "not one piece for what is unknown"),
        (&[0x0A, 7, 0x0A, 5, 0xE2, 0x96, 0x81, b'a', b'm'], "is there twice"),
        (&[0x0A, 2, 0x0A, 0], "a piece is empty"),
        (&[0x0A, 8, 0x0A, 1, b'q', 0x15, 0, 0, 0xC0, 0x7F], "not finite"),
        (&[0x0A, 5, 0x0A, 1, b'q', 0x18, 9], "unknown type 9"),
        (&[0x0A, 3, 0x0A, 1, 0xFF], "not UTF-8"),
        (&[0x0A, 100], "cut off"),
        (&[0x0B], "cut off"),
    ] {
        let said = with(more);
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said(b"version https://git-lfs.github.com/spec/v1\n").contains("cut off"));
    // What is behind the specifications does not decide over any id.
    let whole = (0..SMALL.len()).filter(|length| said(&SMALL[..*length]).is_empty());
    assert!(whole.clone().all(|length| length > SMALL.len() / 2), "{:?}", whole.collect::<Vec<_>>());
}
