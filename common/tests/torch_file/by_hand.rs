//! Small files made here byte by byte: each way to lead a reader astray, and each layout that must work.

use signclip_common::Result;
use signclip_common::torch_file::TorchFile;
use std::fs;
use std::path::Path;

/// Bytes as a file, opened.
fn open(bytes: &[u8]) -> Result<TorchFile> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    TorchFile::open(file.path())
}

#[track_caller]
fn refused(bytes: &[u8], word: &str) {
    let Err(error) = open(bytes) else { panic!("{word}: no error") };
    let message = error.to_string();
    assert!(message.lines().count() == 1 && message.contains(word), "{word:?} is not in: {message}");
}

/// A file in the legacy layout around one pickled object and its storages.
fn legacy(object: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend_from_slice(b"\x80\x02");
    file.extend_from_slice(object);
    file.extend_from_slice(b".\x80\x02]");
    for (key, _) in storages {
        file.extend([&b"U"[..], &[key.len() as u8], key.as_bytes(), b"a"].concat());
    }
    file.push(b'.');
    for (_, bytes) in storages {
        file.extend((bytes.len() as u64 / 2).to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

/// The opcodes of a tensor over the storage `s` of six 16-bit integers.
fn view(offset: &str, sizes: &str, strides: &str) -> Vec<u8> {
    let tuple = |numbers: &str| numbers.split(' ').map(|n| format!("I{n}\n")).collect::<String>();
    let text = format!(
        "ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nShortStorage\nS's'\nS'cpu'\nI6\ntQ\
         I{offset}\n({}t({}tI00\nNtR",
        tuple(sizes),
        tuple(strides)
    );
    text.into_bytes()
}

const SIX: &[u8] = &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];

#[test]
fn views_of_a_storage_are_followed_or_refused() {
    let dictionary = |tensors: &[(&str, Vec<u8>)]| {
        let items = tensors.iter().map(|(name, t)| [format!("S'{name}'\n").as_bytes(), t].concat());
        [b"}(", items.collect::<Vec<_>>().concat().as_slice(), b"u"].concat()
    };
    let tensors = [
        ("whole", view("0", "2 3", "3 1")),
        ("turned", view("0", "3 2", "1 3")),
        ("part", view("1", "2", "3")),
        ("none", view("6", "0 3", "3 1")),
    ];
    let file = open(&legacy(&dictionary(&tensors), &[("s", SIX)])).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["none", "part", "turned", "whole"]);
    let numbers = |name: &str| Vec::<i64>::try_from(file.tensor(name).unwrap().reshape(-1)).unwrap();
    assert_eq!(numbers("whole"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers("turned"), [1, 4, 2, 5, 3, 6]);
    assert_eq!(numbers("part"), [2, 5]);
    assert_eq!(file.tensor("none").unwrap().size(), [0, 3]);
    assert!(file.tensor("other").unwrap_err().to_string().contains("other"));

    let one =
        |offset, sizes, strides| legacy(&dictionary(&[("t", view(offset, sizes, strides))]), &[("s", SIX)]);
    refused(&one("1", "2 3", "3 1"), "out of its storage");
    refused(&one("-1", "2", "1"), "negative");
    refused(&one("0", "-2", "1"), "negative");
    refused(&one("0", "2", "-1"), "negative");
    refused(&one("0", "2 3", "1 1"), "overlap");
    refused(&one("0", "6", "0"), "overlap");
    refused(&one("0", "7", "0"), "does not fit");
    refused(&one("0", "4294967296 4294967296 4294967296", "0 0 0"), "counted");
    refused(&one("0", "2 2", "9223372036854775807 9223372036854775806"), "out of its storage");
    refused(&one("9223372036854775807", "1", "1"), "does not fit");
    refused(&one("0", "2 3", "3"), "strides");
    let good = dictionary(&[("t", view("0", "6", "1"))]);
    refused(&legacy(&good, &[]), "missing");
    refused(&legacy(&good, &[("s", &SIX[..10])]), "length");
    refused(&legacy(&good, &[("s", SIX), ("s", SIX)]), "twice");
    refused(&legacy(&good, &[("other", SIX)]), "no tensor");
    let file = legacy(&good, &[("s", SIX)]);
    refused(&file[..file.len() - 1], "beyond the end");
    let twice = dictionary(&[("t", view("0", "6", "1")), ("t", view("0", "3", "1"))]);
    refused(&legacy(&twice, &[("s", SIX)]), "twice");
}

#[test]
fn other_pickles_end_in_one_line() {
    let object = |bytes: &[u8]| legacy(bytes, &[]);
    // Names outside the list, by each opcode that could make Python look one up.
    refused(&object(b"cos\nsystem\n(S'true'\ntR"), "asks for os.system");
    refused(&object(b"(S'true'\nios\nsystem\n"), "asks for os.system");
    refused(&object(b"(csubprocess\nPopen\nS'true'\no"), "asks for subprocess.Popen");
    refused(&object(b"U\x0dfairseq.utilsU\x09os.system\x93"), "asks for fairseq.utils.os.system");
    refused(&object(b"ctorch.storage\n_load_from_bytes\n"), "asks for torch.storage._load_from_bytes");
    refused(&object(b"cnumpy.testing\nrunstring\n"), "asks for numpy.testing.runstring");
    refused(&object(b"c\n\n)R"), "asks for");
    refused(&object(b"\x82\x01"), "opcode 0x82");
    // Passed over, not made.
    let file = open(&object(b"}S'args'\ncargparse\nNamespace\n)\x81}S'k'\nI1\nsbs")).unwrap();
    assert_eq!((file.names().count(), file.placeholders()), (0, vec!["argparse.Namespace".to_owned()]));
    // Objects that hold themselves, or each other twice, thirty times over.
    refused(&object(b"]q\x00h\x00a"), "nested");
    let doubled = |i: u8| [b'q', i, b']', b'(', b'h', i, b'h', i, b'e'];
    let doubling = [&b"](K\x01e"[..], (0..30).flat_map(doubled).collect::<Vec<u8>>().as_slice()].concat();
    refused(&object(&doubling), "contain each other");
    // Lengths, references and stacks that lead nowhere.
    refused(&object(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "ends in the middle");
    refused(&object(b"B\xff\xff\xff\xffx"), "ends in the middle");
    refused(&object(b"Nr\xff\xff\xff\xff"), "out of order");
    refused(&object(b"h\x07"), "not there");
    refused(&object(b"(N0000"), "more objects than it made");
    refused(&object(b"u"), "did not open");
    // One long text used many times over must not be compared each time.
    let long = [b"X\x00\x00\x04\x00".as_slice(), &b"K".repeat(1 << 18), b"q\x000"].concat();
    let keys = [&long, b"}(".as_slice(), &b"h\x00N".repeat(2_000), b"u"].concat();
    refused(&object(&keys), "longer than 512");
    let names = [&long, b"U\x07fairseqh\x00\x93".as_slice()].concat();
    refused(&object(&names), "asks for fairseq.KKK");
    refused(&object(b"}(Nu"), "no value");
    refused(&object(&b"(".repeat(2000)), "nested");
    refused(&object(&[b"N(".as_slice(), &b"]".repeat(100_000)].concat()), "memory");
    refused(b"", "empty");
    refused(b"PK\x03\x04", "end record");
    refused(b"\x80\x02}q\x00.", "neither layout");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 109497761\n";
    refused(pointer, "Git LFS pointer");
    let missing = Path::new("no/such/file.pt");
    assert!(TorchFile::open(missing).err().unwrap().to_string().contains("check the path"));
}

/// One record of an archive by hand.
struct Record<'a> {
    name: &'a str,
    bytes: &'a [u8],
    /// Compression method.
    method: u16,
    /// Whether its numbers are in an extra field, as for files beyond 4 GiB.
    wide: bool,
}

fn archive(records: &[Record]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for record in records {
        let (header, length) = (file.len() as u64, record.bytes.len() as u64);
        let name = record.name.as_bytes();
        file.extend(
            [b"PK\x03\x04".as_slice(), &[0; 22], &(name.len() as u16).to_le_bytes(), &[0; 2]].concat(),
        );
        file.extend([name, record.bytes].concat());
        let field = |n: u64| if record.wide { [0xff; 4] } else { (n as u32).to_le_bytes() };
        let numbers = [length, length, header].map(u64::to_le_bytes).concat();
        let extra =
            if record.wide { [&[9, 9, 1, 0, 7, 1, 0, 24, 0], &numbers[..]].concat() } else { Vec::new() };
        table.extend([b"PK\x01\x02".as_slice(), &[0; 6], &record.method.to_le_bytes(), &[0; 8]].concat());
        table.extend([field(length), field(length)].concat());
        table.extend([name.len() as u16, extra.len() as u16, 0, 0, 0, 0, 0].map(u16::to_le_bytes).concat());
        table.extend([&field(header), name, &extra].concat());
    }
    let (begin, count) = (file.len() as u32, records.len() as u16);
    file.extend_from_slice(&table);
    let counts = [count, count].map(u16::to_le_bytes).concat();
    let places = [table.len() as u32, begin].map(u32::to_le_bytes).concat();
    file.extend([b"PK\x05\x06".as_slice(), &[0; 4], &counts, &places, &[0; 2]].concat());
    file
}

#[test]
fn archives_are_followed_or_refused() {
    let object = [b"\x80\x02}S't'\n".as_slice(), &view("0", "6", "1"), b"s."].concat();
    let plain = |name, bytes| Record { name, bytes, method: 0, wide: false };
    let good = || vec![plain("a/data.pkl", &object), plain("a/data/s", SIX)];
    for wide in [false, true] {
        let records: Vec<Record> = good().into_iter().map(|r| Record { wide, ..r }).collect();
        let file = open(&archive(&records)).unwrap();
        assert_eq!(Vec::<i64>::try_from(file.tensor("t").unwrap()).unwrap(), [1, 2, 3, 4, 5, 6]);
    }
    let with = |change: fn(&mut Vec<Record>)| {
        let mut records = good();
        change(&mut records);
        archive(&records)
    };
    refused(&with(|r| r[1].method = 8), "compressed");
    refused(&with(|r| r[0].method = 8), "compressed");
    refused(&with(|r| r[1].bytes = &SIX[..10]), "10 bytes");
    refused(&with(|r| r[1].name = "a/data/other"), "missing");
    let longer = [object.as_slice(), b"cos\nsystem\n."].concat();
    refused(&archive(&[plain("a/data.pkl", &longer), plain("a/data/s", SIX)]), "more than one pickle");
    refused(&with(|r| r[0].name = "a/other.pkl"), "no single data.pkl");
    refused(
        &with(|r| r.push(Record { name: "b/data.pkl", bytes: b"", method: 0, wide: false })),
        "no single",
    );
    refused(&with(|r| r.push(Record { name: "a/data/s", bytes: b"", method: 0, wide: false })), "twice");
    refused(
        &with(|r| r.push(Record { name: "a/byteorder", bytes: b"big", method: 0, wide: false })),
        "little-endian",
    );
}
