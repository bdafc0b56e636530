//! The segments of a JPEG file: where its main picture ends, whether it is all there, and its EXIF data.
//!
//! Bytes alone say nothing: a thumbnail inside a segment has an end mark of its own, and two bytes of any segment may
//! look like one. So the segments are walked, by their lengths, up to the scans, in which a mark is a mark.

const FIRST_RESTART: u8 = 0xd0;
const LAST_RESTART: u8 = 0xd7;
const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const EXIF: u8 = 0xe1;

/// What the segments of a file say.
#[derive(Debug, PartialEq)]
pub(crate) struct Jpeg<'a> {
    /// The main picture, from its start mark to its end mark, or to the end of the file where there is none. What cameras
    /// append is left out.
    pub(crate) picture: &'a [u8],
    /// The end mark is there.
    pub(crate) ended: bool,
    /// Width and height.
    pub(crate) size: (usize, usize),
    /// EXIF data of the main picture.
    pub(crate) exif: Option<&'a [u8]>,
    progressive: bool,
    /// Colour components that the frame header announces.
    components: u8,
    scans: Vec<Scan>,
}

/// What a scan brings of a component: coefficients from `first` to `last`, without their `missing` lowest bits.
#[derive(Debug, PartialEq)]
struct Scan {
    component: u8,
    first: u8,
    last: u8,
    missing: u8,
}

impl Jpeg<'_> {
    /// Whether the scans are all there, by their headers: each component, and of a progressive picture each coefficient to
    /// its last bit.
    pub(crate) fn has_all_scans(&self) -> bool {
        let mut components: Vec<u8> = self.scans.iter().map(|scan| scan.component).collect();
        components.sort_unstable();
        components.dedup();
        let complete = |component: &u8, coefficient: u8| {
            let mut scans = self.scans.iter().filter(|scan| scan.component == *component);
            scans.any(|scan| (scan.first..=scan.last).contains(&coefficient) && scan.missing == 0)
        };
        let refined = |component: &u8| (0..64).all(|coefficient| complete(component, coefficient));
        components.len() == usize::from(self.components)
            && (!self.progressive || components.iter().all(refined))
    }
}

/// Walk the segments of `bytes`, which begin with a start mark. Errors: the file ends before the pixels, or has none.
pub(crate) fn walk(bytes: &[u8]) -> Result<Jpeg<'_>, &'static str> {
    let mut jpeg = Jpeg {
        picture: bytes,
        ended: false,
        size: (0, 0),
        exif: None,
        progressive: false,
        components: 0,
        scans: Vec::new(),
    };
    let mut at = 2;
    while let Some((mark, behind)) = next_mark(bytes, at) {
        at = behind;
        match mark {
            FIRST_RESTART..=LAST_RESTART | 0x01 => continue,
            END if jpeg.scans.is_empty() => return Err("it ends before its pixels"),
            // A second picture begins where the first one should have ended.
            START if !jpeg.scans.is_empty() => {
                jpeg.picture = &bytes[..behind - 2];
                return Ok(jpeg);
            }
            START => continue,
            END => {
                jpeg.picture = &bytes[..behind];
                jpeg.ended = true;
                return Ok(jpeg);
            }
            _ => {}
        }
        let length = bytes.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
        let Some(segment) = length.and_then(|length| bytes.get(at + 2..at + length)) else {
            return Err("it is truncated inside a header");
        };
        at += 2 + segment.len();
        match (mark, segment) {
            // Frame headers; 0xc4, 0xc8 and 0xcc among them are others.
            (0xc0..=0xcf, [_, h0, h1, w0, w1, components, ..]) if ![0xc4, 0xc8, 0xcc].contains(&mark) => {
                let number = |pair| usize::from(u16::from_be_bytes(pair));
                jpeg.size = (number([*w0, *w1]), number([*h0, *h1]));
                jpeg.components = *components;
                jpeg.progressive = matches!(mark, 0xc2 | 0xc6 | 0xca | 0xce);
            }
            (EXIF, [b'E', b'x', b'i', b'f', 0, _, tiff @ ..]) if jpeg.exif.is_none() => {
                jpeg.exif = Some(tiff);
            }
            (SCAN, [count, components @ ..]) => {
                let (components, rest) = components.split_at(components.len().min(2 * usize::from(*count)));
                let [first, last, bits, ..] = *rest else {
                    return Err("the header of its pixels is damaged");
                };
                jpeg.scans.extend(components.chunks(2).map(|component| Scan {
                    component: component[0],
                    first,
                    last,
                    missing: bits & 0xf,
                }));
            }
            _ => {}
        }
    }
    if jpeg.scans.is_empty() { Err("it ends before its pixels") } else { Ok(jpeg) }
}

/// The next mark at or behind `at`, and the place behind it. Passes over pixels, in which 0xff is followed by 0, and
/// over filling bytes.
fn next_mark(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let is_mark = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
    let found = bytes.get(at..)?.windows(2).position(is_mark)?;
    Some((bytes[at + found + 1], at + found + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"\xff\xc0\0\x0b\x08\0\x10\0\x20\x01\x01\x11\0";
    const SCAN_MARK: u8 = super::SCAN;
    const SCAN: &[u8] = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0";

    fn segment(mark: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u16 + 2).to_be_bytes();
        [&[0xff, mark], &length[..], content].concat()
    }

    #[test]
    fn the_end_is_that_of_the_main_picture() {
        let thumbnail = segment(0xe1, b"Exif\0\0MM\0*\xff\xd8\xff\xda\0\x02pixels\xff\xd9");
        let comment = segment(0xfe, b"\xff\xd9");
        let pixels = b"pi\xff\0xe\xff\xd0ls\xff\xff";
        let head = [b"\xff\xd8", &thumbnail[..], &comment, FRAME, SCAN, pixels].concat();
        let whole = [&head[..], b"\xff\xd9"].concat();
        let appended = [&whole[..], b"\xff\xd8 another picture \xff\xd9"].concat();
        for bytes in [&whole, &appended] {
            let jpeg = walk(bytes).expect("whole");
            assert!(jpeg.ended && jpeg.has_all_scans());
            assert_eq!(jpeg.picture, whole);
            assert_eq!(jpeg.size, (32, 16));
            assert!(jpeg.exif.is_some_and(|tiff| tiff.starts_with(b"MM\0*")));
        }
        let jpeg = walk(&head).expect("pixels");
        assert!(!jpeg.ended && jpeg.has_all_scans(), "the pixels themselves may be whole");
        for end in 2..head.len() - pixels.len() {
            assert!(walk(&head[..end]).is_err(), "cut off at {end}");
        }
    }

    #[test]
    fn scans_that_are_missing() {
        let head = |mark: u8| {
            [b"\xff\xd8", &segment(mark, b"\x08\0\x10\0\x20\x02\x01\x11\0\x02\x11\0")[..]].concat()
        };
        let second = b"\xff\xda\0\x08\x01\x02\0\0\x3f\0more";
        let one = [&head(0xc0)[..], SCAN, b"pixels"].concat();
        let two = [&one[..], second].concat();
        let has_all = |bytes: &[u8]| walk(bytes).expect("pixels").has_all_scans();
        assert_eq!([&one, &two].map(|bytes| has_all(bytes)), [false, true]);
        // Of both components: the mean, the rest without the last bit, the last bit.
        let mut progressive = head(0xc2);
        let scan = |component: u8, first: u8, last: u8, bits: u8| {
            [&segment(SCAN_MARK, &[1, component, 0, first, last, bits])[..], b"pixels"].concat()
        };
        for (component, first, last, bits) in
            [(1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 63, 1), (2, 1, 63, 1), (2, 1, 63, 0x10), (1, 1, 63, 0x10)]
        {
            assert!(progressive.len() < 30 || !has_all(&progressive));
            progressive.extend(scan(component, first, last, bits));
        }
        assert!(has_all(&progressive));
    }
}
