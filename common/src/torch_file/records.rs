//! Annotations that are pickled dictionaries of lists, numbers and texts, such as those of CSL-Daily.

use super::pickle;
use super::values::{Budget, DAMAGED, ESCAPED, Objects, Role, Value};
use crate::{Error, Result, weight_file};
use std::path::Path;

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Text(String),
    /// A list or a tuple of texts.
    Texts(Vec<String>),
}

/// The list at `list` of the pickled dictionary in `path`, read without executing anything: of each of its dictionaries the
/// `fields`, absent where there is none. Errors: a class or function in the file; no such list; a field of something else.
pub fn read_records(path: &Path, list: &str, fields: &[&str]) -> Result<Vec<Vec<Option<Field>>>> {
    let data = weight_file::map(path)?;
    let mut budget = Budget::for_texts(data.len());
    let remedy = "take the data set's own file, or a text file of the same annotations";
    let refuse = |place: String, what: String| Error::input(path, place, what, remedy);
    let pickle = pickle::read(&data, 0, &mut budget).map_err(|(at, fault)| {
        let remedy = if [DAMAGED, ESCAPED].contains(&fault.remedy) { fault.remedy } else { remedy };
        Error::input(path, format!("pickle byte {at}"), fault.what, remedy)
    })?;
    let objects = &pickle.objects;
    if let Some(class) = (0_u32..).zip(&objects.globals).find(|(_, global)| global.role != Role::Mapping) {
        let what = format!(
            "has {} in it, where annotations are texts and lists; nothing was run",
            objects.global_name(&data, class.0)
        );
        return Err(refuse(String::new(), what));
    }
    let Some(Value::List(records)) = field(&data, objects, pickle.root, list) else {
        return Err(refuse(list.to_owned(), "the pickle is not a dictionary with this list".to_owned()));
    };
    let texts = |items: &[Value]| -> Option<Field> {
        items.iter().map(|item| text(&data, *item)).collect::<Option<_>>().map(Field::Texts)
    };
    let content = |value: Value| match value {
        Value::List(items) => texts(objects.container(items)),
        Value::Tuple(items) => texts(&objects.items[items.start as usize..][..items.len as usize]),
        value => text(&data, value).map(Field::Text),
    };
    let read = |(number, record): (usize, &Value)| -> Result<Vec<Option<Field>>> {
        let of = |name: &&str| {
            let Some(value) = field(&data, objects, *record, name) else { return Ok(None) };
            let not_text =
                || refuse(format!("{list}[{number}].{name}"), "not a text or a list of texts".to_owned());
            content(value).map(Some).ok_or_else(not_text)
        };
        fields.iter().map(of).collect()
    };
    objects.container(records).iter().enumerate().map(read).collect()
}

/// The value of a key of a dictionary.
fn field(data: &[u8], objects: &Objects, dictionary: Value, key: &str) -> Option<Value> {
    let Value::Dict(index) = dictionary else { return None };
    let is_key = |value: Value| matches!(value, Value::Text(span) if span.of(data) == key.as_bytes());
    objects.container(index).chunks_exact(2).find(|pair| is_key(pair[0])).map(|pair| pair[1])
}

fn text(data: &[u8], value: Value) -> Option<String> {
    let Value::Text(span) = value else { return None };
    std::str::from_utf8(span.of(data)).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Python 3.11: `pickle.dumps({"info": [{"name": "S1", "label_char": ["今", "天"], "length": 3},
    /// {"name": "S2"}]}, protocol=2)`.
    const PLAIN: &[u8] = b"\x80\x02}q\x00X\x04\x00\x00\x00infoq\x01]q\x02(}q\x03(X\x04\x00\x00\x00nameq\x04X\x02\x00\x00\x00\
        S1q\x05X\n\x00\x00\x00label_charq\x06]q\x07(X\x03\x00\x00\x00\xe4\xbb\x8aq\x08X\x03\x00\x00\x00\xe5\xa4\xa9q\teX\x06\
        \x00\x00\x00lengthq\nK\x03u}q\x0bh\x04X\x02\x00\x00\x00S2q\x0cses.";

    fn read_fields(content: &[u8], fields: &[&str]) -> Result<Vec<Vec<Option<Field>>>, String> {
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("labels.pkl");
        std::fs::write(&file, content).expect("written");
        read_records(&file, "info", fields).map_err(|e| e.to_string())
    }

    fn read(content: &[u8]) -> Result<Vec<Vec<Option<Field>>>, String> {
        read_fields(content, &["name", "label_char"])
    }

    #[test]
    fn texts_and_lists_of_texts_are_read() {
        let chars = Field::Texts(vec!["\u{4eca}".to_owned(), "\u{5929}".to_owned()]);
        let name = |name: &str| Some(Field::Text(name.to_owned()));
        assert_eq!(read(PLAIN), Ok(vec![vec![name("S1"), Some(chars)], vec![name("S2"), None]]));
        let error = read_fields(PLAIN, &["name", "length"]).unwrap_err();
        assert!(error.contains("labels.pkl, info[0].length: not a text or a list of texts"), "{error}");
        // `pickle.dumps({"info": [{"name": "S1", "label_char": ("a", "b"), "length": 2**70}]}, protocol=0)`, Python 3.11,
        // without memo.
        let tuple =
            b"(dVinfo\n(lp1\n(dVname\nVS1\nsVlabel_char\n(Va\nVb\ntsVlength\nL1180591620717411303424L\nsas.";
        let chars = Field::Texts(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(read(tuple), Ok(vec![vec![name("S1"), Some(chars)]]));
        // Python writes other letters than those of Latin-1 so.
        let escape = read(b"(dVinfo\n(lp1\n(dVname\nV\\u4eca\nsas.").unwrap_err();
        assert!(escape.contains("protocol 0") && escape.contains("protocol=4"), "{escape}");
    }

    #[test]
    fn a_class_is_refused_in_one_line() {
        for (class, name) in [
            (&b"cos\nsystem\n(Vtrue\ntR."[..], "os.system"),
            (&b"(dp0\nVinfo\np1\ncargparse\nNamespace\n)Rs."[..], "argparse.Namespace"),
            (&b"(dp0\nVinfo\np1\ncmy.module\nClip\n)Rs."[..], "my.module.Clip"),
        ] {
            let error = read(class).unwrap_err();
            assert!(
                error.contains(name) && error.contains("nothing was run") && !error.contains('\n'),
                "{error}"
            );
        }
        assert!(read(b"(dp0\n.").unwrap_err().contains("info"));
        assert!(read(b"(lp0\n.").is_err());
    }
}
