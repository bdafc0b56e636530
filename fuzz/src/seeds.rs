//! Sound files of each kind, from which the fuzzer starts.

use serde_json::json;
use signclip_common::manifest::TextRules;
use signclip_common::safetensors_file;
use signclip_common::store::{ClipFacts, FORMAT, RowRule, StoreDtype, StoreInfo, StoreWriter, StreamInfo};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The files of a small store of two clips and one stream, by name.
pub fn store() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stream = StreamInfo {
        dim: 3,
        rows: RowRule::EACH_FRAME,
        encoder: "CLIP".into(),
        compute: "f32".into(),
        weights: BTreeMap::from([("clip.safetensors".into(), "00ff".into())]),
        config: json!({ "scales": [1, 2] }),
    };
    let info = StoreInfo {
        format: FORMAT,
        dataset: "mine".into(),
        split: "train".into(),
        language: Some("German".into()),
        text: TextRules { lowercase: true, final_dot: true },
        dtype: StoreDtype::F16,
        fps: 25.0,
        streams: BTreeMap::from([("spatial".into(), stream)]),
        config: json!({ "face": "retinaface" }),
        tool: "signclip".into(),
    };
    let mut writer = StoreWriter::open(folder.path(), info, 0).expect("a store");
    for (id, frames) in [("a", 2), ("b ä", 3)] {
        let mut clip = writer.begin().expect("a clip");
        clip.append("spatial", &vec![0.5; 3 * frames]).expect("rows");
        let facts = ClipFacts {
            text: Some("am montag regen.".into()),
            source_fps: 25.0,
            source_frames: frames,
            face_coverage: Some(0.5),
            missed: vec![[0, 1]],
            source: "a/b.mp4".into(),
            start: Some(0.5),
            end: Some(1.0),
            ..ClipFacts::default()
        };
        clip.finish(id, frames, facts).expect("finished");
    }
    let entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let files = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(".lock"));
    files
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("read"))
        })
        .collect()
}

/// A safetensors file with these tensors of zeros.
pub fn safetensors(tensors: &[(&str, Kind, &[i64])]) -> Vec<u8> {
    let table: Vec<_> = tensors.iter().map(|(name, kind, shape)| (name.to_string(), *kind, shape.to_vec())).collect();
    let mut bytes = Vec::new();
    let zeros = |i: usize| Ok(Tensor::zeros(&table[i].2[..], (table[i].1, Device::Cpu)));
    safetensors_file::write(&mut bytes, &[("settings", "{}")], &table, zeros).expect("written");
    bytes
}

/// A NumPy file of version 1.
pub fn npy(dtype: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).expect("short").to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), data].concat()
}

/// One file in a zip archive, stored without compression.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = bytes.len() as u32;
        let crc = crc32fast::hash(content).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        let common = [&[0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &length, &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04\x14\0", &common[..], name.as_bytes(), content].concat());
        let rest = [&[0; 10][..], &offset.to_le_bytes()].concat();
        table.extend([b"PK\x01\x02\x14\0\x14\0", &common[..], &rest[..], name.as_bytes()].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), bytes.len() as u32);
    let size = table.len() as u32;
    bytes.extend(table);
    let end = [&count[..], &count, &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat();
    bytes.extend([b"PK\x05\x06\0\0\0\0", &end[..]].concat());
    bytes
}

/// The pickle of `{"w": tensor of two by three}` as `torch.save` writes it: storage 0 has six numbers.
pub fn pickle() -> Vec<u8> {
    let mut out = b"\x80\x02}q\0X\x01\0\0\0wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03ctorch\n".to_vec();
    out.extend(b"FloatStorage\nq\x04X\x01\0\0\x000q\x05X\x03\0\0\0cpuq\x06K\x06tq\x07QK\0K\x02K\x03\x86q\x08K\x03K\x01\x86q\t\x89");
    out.extend(b"ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs.");
    out
}

/// What `torch.save` makes of [`pickle`].
pub fn torch_zip(pickle: &[u8]) -> Vec<u8> {
    let data = [0u8; 24];
    zip(&[("archive/data.pkl", pickle), ("archive/byteorder", b"little"), ("archive/data/0", &data), ("archive/version", b"3\n")])
}

/// What the ffmpeg program makes of these arguments, its test picture being the input.
pub fn ffmpeg(input: &str, arguments: &str, ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join(format!("seed.{ending}"));
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", input]).args(arguments.split_whitespace()).arg(&out);
    assert!(command.status().expect("the ffmpeg program").success(), "{command:?}");
    std::fs::read(out).expect("read")
}

/// A JPEG picture with EXIF data that say it is to be turned.
pub fn turned(jpeg: &[u8]) -> Vec<u8> {
    let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&jpeg[..2], exif, &jpeg[2..]].concat()
}

/// A PNG picture whose chunks have the checksums of what they hold.
pub fn with_checksums(png: &[u8]) -> Vec<u8> {
    let mut bytes = png.to_vec();
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at + 8 + length;
        if length > bytes.len() || end + 4 > bytes.len() {
            break;
        }
        let sum = crc32fast::hash(&bytes[at + 4..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
    bytes
}

/// A pickled list of one frame without a face and one array of 68 points, as NumPy pickles it.
pub fn pickled_landmarks() -> Vec<u8> {
    let data = [0x3f; 68 * 2 * 4];
    let mut out = b"\x80\x03]q\0(Ncnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\0\x85q\x03C\x01bq\x04\x87q\x05Rq\x06".to_vec();
    out.extend(b"(K\x01KDK\x02\x86q\x07cnumpy\ndtype\nq\x08X\x02\0\0\0f4q\t\x89\x88\x87q\nRq\x0b(K\x03X\x01\0\0\0<q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\rb\x89B");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.extend(b"q\x0etq\x0fbe.");
    out
}
