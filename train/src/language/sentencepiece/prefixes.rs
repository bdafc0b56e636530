//! Texts that another text can begin with.

/// Texts with their ids, sorted, so that those that a text begins with are found by narrowing a range byte by byte.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    sorted: Vec<(Box<str>, u32)>,
}

impl Prefixes {
    /// Errors: one that is there twice.
    pub(super) fn new(texts: impl Iterator<Item = (Box<str>, u32)>) -> Result<Self, String> {
        let mut sorted: Vec<_> = texts.collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(format!("the piece {:?} is there twice", pair[0].0)),
            None => Ok(Self { sorted }),
        }
    }

    /// Id of a whole text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        let at = self.sorted.binary_search_by(|(other, _)| (**other).cmp(text)).ok()?;
        self.sorted.get(at).map(|(_, id)| *id)
    }

    /// Length in bytes and id of everything that `text` begins with, the shortest first.
    pub(super) fn of<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = (usize, u32)> + 's {
        // All in the range begin with the same `at` bytes as `text`; the one that has no more comes first.
        let mut range = self.sorted.as_slice();
        let narrowed = text.iter().enumerate().map_while(move |(at, byte)| {
            let begin = range.partition_point(|(other, _)| other.as_bytes().get(at) < Some(byte));
            range = &range[begin..];
            let end = range.partition_point(|(other, _)| other.as_bytes().get(at) == Some(byte));
            range = &range[..end];
            range.first().map(|(other, id)| (other.len() == at + 1).then_some((at + 1, *id)))
        });
        narrowed.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_begins_with() {
        let texts = ["b", "abc", "a", "ab", "abcde", "ž"];
        let prefixes =
            Prefixes::new((0..).zip(texts).map(|(id, text)| (text.into(), id))).expect("no text twice");
        let of = |text: &str| prefixes.of(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("abcd"), [(1, 2), (2, 3), (3, 1)]);
        assert_eq!(of("ža"), [(2, 5)]);
        assert_eq!(of("c"), []);
        assert_eq!(of(""), []);
        assert_eq!((prefixes.id("abc"), prefixes.id("abcd")), (Some(1), None));
        assert!(Prefixes::new([("a".into(), 0), ("a".into(), 1)].into_iter()).is_err());
    }
}
