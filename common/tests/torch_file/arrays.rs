//! Pickled lists of NumPy arrays, as Python 3.11 with NumPy 2.4 wrote them in the protocols 2 to 5:
//! `[numpy.arange(4, dtype="f4").reshape(2, 2), None, numpy.arange(4, dtype="i8").reshape(2, 2)]`.

use signclip_common::Result;
use signclip_common::torch_file::{Array, read_arrays};

const LISTS: [&[u8]; 4] = [
    b"\x80\x02]q\0(cnumpy._core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\0\x85q\x03c_codec\
      s\nencode\nq\x04X\x01\0\0\0bq\x05X\x06\0\0\0latin1q\x06\x86q\x07Rq\x08\x87q\tRq\n(K\x01K\x02K\x02\
      \x86q\x0bcnumpy\ndtype\nq\x0cX\x02\0\0\0f4q\r\x89\x88\x87q\x0eRq\x0f(K\x03X\x01\0\0\0<q\x10NNNJ\
      \xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\x11b\x89h\x04X\x11\0\0\0\0\0\0\0\0\0\xc2\x80?\0\0\0@\0\0@@q\
      \x12h\x06\x86q\x13Rq\x14tq\x15bNh\x01h\x02K\0\x85q\x16h\x08\x87q\x17Rq\x18(K\x01K\x02K\x02\x86q\
      \x19h\x0cX\x02\0\0\0i8q\x1a\x89\x88\x87q\x1bRq\x1c(K\x03h\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff\
      K\0tq\x1db\x89h\x04X \0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0q\
      \x1eh\x06\x86q\x1fRq tq!be.",
    b"\x80\x03]q\0(cnumpy._core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\0\x85q\x03C\x01bq\
      \x04\x87q\x05Rq\x06(K\x01K\x02K\x02\x86q\x07cnumpy\ndtype\nq\x08X\x02\0\0\0f4q\t\x89\x88\x87q\nRq\
      \x0b(K\x03X\x01\0\0\0<q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\rb\x89C\x10\0\0\0\0\0\0\x80?\
      \0\0\0@\0\0@@q\x0etq\x0fbNh\x01h\x02K\0\x85q\x10h\x04\x87q\x11Rq\x12(K\x01K\x02K\x02\x86q\x13h\x08\
      X\x02\0\0\0i8q\x14\x89\x88\x87q\x15Rq\x16(K\x03h\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\x17\
      b\x89C \0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0q\x18tq\x19be.",
    b"\x80\x04\x95\x02\x01\0\0\0\0\0\0]\x94(\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\
      \x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\0\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02K\
      \x02\x86\x94h\x04\x8c\x05dtype\x94\x93\x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NN\
      NJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t\x94b\x89C\x10\0\0\0\0\0\0\x80?\0\0\0@\0\0@@\x94t\x94bNh\
      \x03h\x06K\0\x85\x94h\x08\x87\x94R\x94(K\x01K\x02K\x02\x86\x94h\r\x8c\x02i8\x94\x89\x88\x87\x94R\
      \x94(K\x03h\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t\x94b\x89C \0\0\0\0\0\0\0\0\x01\0\0\0\0\0\
      \0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x94t\x94be.",
    b"\x80\x05\x95\xe8\0\0\0\0\0\0\0]\x94(\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94\
      (\x96\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\x80?\0\0\0@\0\0@@\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\
      \x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0\
      t\x94bK\x02K\x02\x86\x94\x8c\x01C\x94t\x94R\x94Nh\x03(\x96 \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\
      \0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x94h\x07\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03h\
      \x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t\x94bK\x02K\x02\x86\x94h\x0et\x94R\x94e.",
];

fn read(bytes: &[u8]) -> Result<Vec<Option<Array>>> {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), bytes).expect("write");
    read_arrays(file.path())
}

/// `bytes` with the first `old` replaced by as many other bytes.
fn with(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old).expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn every_protocol() {
    let array = || Some(Array { shape: vec![2, 2], values: vec![0.0, 1.0, 2.0, 3.0] });
    for list in LISTS {
        assert_eq!(read(list).expect("a list"), [array(), None, array()]);
    }
    // The name of the module before NumPy 2.
    let old = with(LISTS[1], b"numpy._core.multiarray", b"numpy.core.multiarray");
    assert_eq!(read(&old).expect("a list"), [array(), None, array()]);
    // The most significant byte first, and signs.
    let big = with(LISTS[1], b"X\x01\0\0\0<", b"X\x01\0\0\0>");
    let big = with(&big, b"\0\0\0\0\0\0\x80?\0\0\0@\0\0@@", b"\0\0\0\0?\x80\0\0@\0\0\0@@\0\0");
    let big = with(
        &big,
        b"\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02",
        b"\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\0\0\0\0\x01\0",
    );
    let values = |array: &Option<Array>| array.as_ref().map(|array| array.values[..2].to_vec());
    let list = read(&big).expect("a list");
    assert_eq!([values(&list[0]), values(&list[2])], [Some(vec![0.0, 1.0]), Some(vec![-2.0, 1.0])]);
}

/// Where the bytes of the first array of `list` are, with the mark before them and their length.
fn first_content(list: &[u8]) -> std::ops::Range<usize> {
    let at = list.windows(3).position(|part| part == b"\x89C\x10").expect("it is there");
    at..at + 3 + 16
}

#[test]
fn arrays_by_columns_and_arrays_that_are_repeated() {
    let by_columns = with(LISTS[1], b"\x89C\x10", b"\x88C\x10");
    let list = read(&by_columns).expect("a list");
    assert_eq!(list[0], Some(Array { shape: vec![2, 2], values: vec![0.0, 2.0, 1.0, 3.0] }));
    // A face that holds still may be the same object in every frame.
    let many = with(LISTS[1], b"tq\x0fb", &[&b"tq\x0fb"[..], &b"h\x06".repeat(300)].concat());
    let list = read(&many).expect("a list");
    assert_eq!(list.len(), 303);
    assert!(list[..301].iter().all(|array| *array == list[0]));
}

#[test]
fn anything_else_ends_in_one_line() {
    let refused = |bytes: &[u8], word: &str| {
        let error = read(bytes).expect_err("refused").to_string();
        assert!(error.contains(word) && error.contains("; ") && error.lines().count() == 1, "{error}");
    };
    refused(b"\x80\x03}.", "not a list");
    refused(b"\x80\x03]K\x01a.", "item 0: neither a NumPy array");
    refused(b"\x80\x03cposix\nsystem\nX\x04\0\0\0true\x85R.", "posix.system");
    let list = LISTS[1];
    refused(&with(list, b"f4", b"c8"), "the type \"c8\"");
    refused(&with(list, b"f4", b"f8"), "4 numbers has 16 bytes");
    let deep = with(list, b"K\x02K\x02\x86", b"K\x02K\x02K\x01\x87");
    refused(&with(&deep, b"\x89C\x10", b"\x88C\x10"), "Fortran");
    refused(&with(list, b"K\x02K\x02", b"K\x02K\x03"), "6 numbers has 16 bytes");
    for end in 0..list.len() {
        assert!(read(&list[..end]).is_err(), "cut off at {end}");
    }
    // One large array, again and again.
    let again = [&b"\x80\x03](h\x06"[..], &b"h\x06".repeat(5000), b"e."].concat();
    assert!(read(&again).is_err());
    let large = with(list, b"K\x02K\x02\x86", b"K\x02M\0\x80\x86");
    let content = [&b"\x89B\0\0\x04\0"[..], &[0; 1 << 18]].concat();
    let large = with(&large, &list[first_content(list)], &content);
    let many = with(&large, b"tq\x0fb", &[&b"tq\x0fb"[..], &b"h\x06".repeat(600)].concat());
    refused(&many, "again and again");
    // Nobody downloads such a file.
    refused(b"\x80\x03X\x01\0\0\0\xff.", "not UTF-8; write a list of arrays");
    for place in 0..list.len() {
        for value in [0, 1, b'.', b'(', b'R', b'b', 0xff] {
            let mut mutated = list.to_vec();
            mutated[place] = value;
            let _ = read(&mutated);
        }
    }
}
