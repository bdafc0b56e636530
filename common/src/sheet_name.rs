//! The name of a clip's contact sheet: `extract` writes it, the report of `evaluate` looks for it.

use crate::checksum;

/// Bytes that every file system takes as a name, with what is put behind it while the file is written.
const LONGEST: usize = 200;

/// `ID.png`; of an id that is too long for a file name its beginning and a checksum of all of it.
pub fn sheet_name(id: &str) -> String {
    if id.len() <= LONGEST {
        return format!("{id}.png");
    }
    let sum = checksum::of(id.as_bytes());
    let mut end = LONGEST - 17;
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}.png", &id[..end], &sum[..16])
}

#[cfg(test)]
mod tests {
    use super::sheet_name;

    #[test]
    fn long_ids() {
        assert_eq!(sheet_name("a b"), "a b.png");
        let (one, two) = (format!("{}1", "ä".repeat(150)), format!("{}2", "ä".repeat(150)));
        assert!(sheet_name(&one).len() <= 204 && sheet_name(&one).starts_with("ää"));
        assert_ne!(sheet_name(&one), sheet_name(&two));
        assert_eq!(sheet_name(&"x".repeat(200)).len(), 204);
    }
}
