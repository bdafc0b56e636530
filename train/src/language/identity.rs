//! What a language model is, wherever its folder lies: checksums of its content.

use crate::language::folder;
use signclip_common::checksum::Checksum;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::tensor_file::{self, TensorFile};
use signclip_common::{Error, Result, checksum};
use std::collections::BTreeMap;
use std::path::Path;

/// What the checksum of the tensors is called.
const WEIGHTS: &str = "weights";

/// SHA-256 of the configuration, of the tokenizer and of the weights in `folder`. That of the weights is over names,
/// types, shapes and bytes, so that it does not depend on how the tensors are spread over files. Of a large tensor
/// pieces at equal distances are taken: training changes all of a tensor, and 11 GB would be read for half a minute at
/// every start. What is not there has no checksum: whoever loads it says so.
pub fn of_language_model(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut identity = BTreeMap::new();
    // Small files, whose bytes decide over what the model computes.
    for name in ["config.json", folder::tokenizer_name(folder)] {
        let file = folder.join(name);
        if file.exists() {
            let bytes = regular_file::read(&file, SETTINGS).map_err(Error::io(&file))?;
            identity.insert(name.to_owned(), checksum::of(&bytes));
        }
    }
    if let Ok(files) = tensor_file::open_all(folder) {
        identity.insert(WEIGHTS.to_owned(), of_tensors(&files)?);
    }
    Ok(identity)
}

fn of_tensors(files: &[TensorFile]) -> Result<String> {
    let tensors: BTreeMap<&str, &TensorFile> =
        files.iter().flat_map(|file| file.names().into_iter().map(move |name| (name, file))).collect();
    let mut sum = Checksum::default();
    for (name, file) in tensors {
        sum.update(format!("{name} {:?} {:?}\n", file.kind(name), file.shape(name).as_deref()).as_bytes());
        pieces(&file.bytes(name)?).for_each(|piece| sum.update(piece));
    }
    Ok(sum.hex())
}

/// All of a tensor of up to 1 MiB; 16 pieces of 4 KiB of a larger one, the first and the last among them.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const WHOLE: usize = 1 << 20;
    const PIECE: usize = 4096;
    const PIECES: usize = 16;
    let (count, length) = if bytes.len() <= WHOLE { (1, bytes.len()) } else { (PIECES, PIECE) };
    (0..count).map(move |i| {
        let begin = (bytes.len() - length) * i / (count - 1).max(1);
        &bytes[begin..begin + length]
    })
}

/// Refuse another language model in `folder` than the one with the checksums `known`; one without is not checked.
pub fn check_language_model(folder: &Path, known: &BTreeMap<String, String>) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    let here = of_language_model(folder)?;
    let names = known.keys().chain(here.keys());
    names.into_iter().find(|name| known.get(*name) != here.get(*name)).map_or(Ok(()), |name| {
        let text = |identity: &BTreeMap<String, String>| {
            identity.get(name).map_or("none", String::as_str).to_owned()
        };
        let what = format!(
            "another language model than that of the run: SHA-256 {}, where the run has {}",
            text(&here),
            text(known)
        );
        Err(Error::input(folder, name, what, "give the folder of the run's own: --language-model DIR"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_reach_from_end_to_end() {
        let small = vec![1_u8; 1 << 20];
        assert_eq!(pieces(&small).map(<[u8]>::len).collect::<Vec<_>>(), [1 << 20]);
        let large: Vec<u8> = (0..(1 << 20) + 1000_u32).map(|i| (i % 251) as u8).collect();
        let taken: Vec<&[u8]> = pieces(&large).collect();
        assert_eq!((taken.len(), taken.iter().all(|piece| piece.len() == 4096)), (16, true));
        assert_eq!((taken[0], taken[15]), (&large[..4096], &large[large.len() - 4096..]));
        assert_eq!(pieces(&[]).count(), 1);
    }
}
