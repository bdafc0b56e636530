//! The fields of a `spiece.model` that decide over its ids: SentencePiece's `sentencepiece_model.proto`, in the wire
//! format of protocol buffers.

/// `ModelProto`.
#[derive(Debug, Default)]
pub(super) struct ModelProto {
    pub(super) pieces: Vec<Piece>,
    pub(super) trainer: TrainerSpec,
    pub(super) normaliser: NormalizerSpec,
    /// `denormalizer_spec.precompiled_charsmap`, which changes decoded texts.
    pub(super) denormaliser: Vec<u8>,
}

/// `ModelProto.SentencePiece`.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// `ModelProto.SentencePiece.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
    Unused,
}

/// `TrainerSpec`.
#[derive(Debug)]
pub(super) struct TrainerSpec {
    /// 1: unigram.
    pub(super) model_type: u64,
    pub(super) byte_fallback: bool,
    pub(super) treat_whitespace_as_suffix: bool,
}

/// `NormalizerSpec`.
#[derive(Debug)]
pub(super) struct NormalizerSpec {
    pub(super) precompiled_charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

impl Default for TrainerSpec {
    fn default() -> Self {
        Self { model_type: 1, byte_fallback: false, treat_whitespace_as_suffix: false }
    }
}

impl Default for NormalizerSpec {
    fn default() -> Self {
        Self {
            precompiled_charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

/// What is wrong with a file.
type Parsed<T> = Result<T, String>;

impl ModelProto {
    /// Errors: what is damaged. Both specifications follow the pieces, so that a file without them is cut off.
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut model = Self::default();
        let mut specified = [false; 2];
        each_field(bytes, |number, value| {
            match number {
                2 => specified[0] = true,
                3 => specified[1] = true,
                _ => {}
            }
            match number {
                1 => model.pieces.push(Piece::parse(value.bytes()?)?),
                2 => model.trainer = TrainerSpec::parse(value.bytes()?)?,
                3 => model.normaliser = NormalizerSpec::parse(value.bytes()?)?,
                5 => model.denormaliser = NormalizerSpec::parse(value.bytes()?)?.precompiled_charsmap,
                _ => {}
            }
            Ok(())
        })?;
        if specified == [true; 2] { Ok(model) } else { Err(CUT_OFF.to_owned()) }
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut piece = Self { text: String::new(), score: 0.0, kind: Kind::Normal };
        each_field(bytes, |number, value| {
            match number {
                1 => {
                    let text = String::from_utf8(value.bytes()?.to_vec());
                    piece.text = text.map_err(|_| "a piece is not UTF-8".to_owned())?;
                }
                2 => piece.score = value.float()?,
                3 => {
                    piece.kind = match value.number()? {
                        1 => Kind::Normal,
                        2 => Kind::Unknown,
                        3 => Kind::Control,
                        4 => Kind::UserDefined,
                        5 => Kind::Unused,
                        6 => Kind::Byte,
                        other => return Err(format!("a piece is of the unknown type {other}")),
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        match piece.score.is_finite() {
            true => Ok(piece),
            false => Err(format!("the score of the piece {:?} is not finite", piece.text)),
        }
    }
}

impl TrainerSpec {
    fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut spec = Self::default();
        each_field(bytes, |number, value| {
            match number {
                3 => spec.model_type = value.number()?,
                24 => spec.treat_whitespace_as_suffix = value.number()? != 0,
                35 => spec.byte_fallback = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(spec)
    }
}

impl NormalizerSpec {
    fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut spec = Self::default();
        each_field(bytes, |number, value| {
            match number {
                2 => spec.precompiled_charsmap = value.bytes()?.to_vec(),
                3 => spec.add_dummy_prefix = value.number()? != 0,
                4 => spec.remove_extra_whitespaces = value.number()? != 0,
                5 => spec.escape_whitespaces = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(spec)
    }
}

/// Value of a field, by its wire type.
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Fixed32([u8; 4]),
    Fixed64,
}

impl<'b> Value<'b> {
    fn number(&self) -> Parsed<u64> {
        if let Self::Number(number) = self { Ok(*number) } else { Err(OTHER_TYPE.to_owned()) }
    }

    fn bytes(&self) -> Parsed<&'b [u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(OTHER_TYPE.to_owned()) }
    }

    fn float(&self) -> Parsed<f32> {
        if let Self::Fixed32(bytes) = self {
            Ok(f32::from_le_bytes(*bytes))
        } else {
            Err(OTHER_TYPE.to_owned())
        }
    }
}

const OTHER_TYPE: &str = "a field has another type than in SentencePiece's format";
const CUT_OFF: &str = "the file is cut off, or not of SentencePiece";

/// Calls `take` with the number and the value of every field of a message.
fn each_field<'b>(mut bytes: &'b [u8], mut take: impl FnMut(u64, Value<'b>) -> Parsed<()>) -> Parsed<()> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => {
                split(&mut bytes, 8)?;
                Value::Fixed64
            }
            2 => {
                let length = varint(&mut bytes)?;
                Value::Bytes(split(&mut bytes, usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Fixed32(split(&mut bytes, 4)?.try_into().map_err(|_| CUT_OFF.to_owned())?),
            _ => return Err(CUT_OFF.to_owned()),
        };
        take(tag >> 3, value)?;
    }
    Ok(())
}

/// The next `length` bytes.
fn split<'b>(bytes: &mut &'b [u8], length: usize) -> Parsed<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(length).ok_or_else(|| CUT_OFF.to_owned())?;
    *bytes = tail;
    Ok(head)
}

/// The next number, seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Parsed<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = split(bytes, 1)?[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(CUT_OFF.to_owned())
}
