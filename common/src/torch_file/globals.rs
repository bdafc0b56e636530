//! Which names a pickle may ask for. Nothing is ever imported or called: the list decides what is a tensor, what is
//! data to pass over, and what makes the whole file suspect.

use super::values::{Checked, Fault, LONGEST_KEY, Role, shorten};
use tch::Kind;

/// Names of one module that are data to pass over.
const HARMLESS: &[(&[&str], &[&str])] = &[
    (
        &["__builtin__", "builtins"],
        &[
            "set",
            "frozenset",
            "bytearray",
            "complex",
            "object",
            "slice",
            "range",
            "xrange",
            "list",
            "dict",
            "tuple",
            "int",
            "long",
            "float",
            "bool",
            "str",
            "unicode",
            "bytes",
        ],
    ),
    (&["argparse"], &["Namespace"]),
    (&["copy_reg", "copyreg"], &["_reconstructor"]),
    (&["operator", "_operator"], &["getitem"]),
    (&["collections"], &["deque"]),
    (&["datetime"], &["date", "datetime", "time", "timedelta", "timezone"]),
    (&["pathlib", "pathlib._local"], &["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"]),
    (&["numpy.core.multiarray", "numpy._core.multiarray"], &["scalar"]),
    (
        &["numpy"],
        &[
            "ndarray",
            "bool_",
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float16",
            "float32",
            "float64",
            "complex64",
            "complex128",
            "str_",
            "bytes_",
        ],
    ),
    (
        &["torch"],
        &[
            "Size",
            "device",
            "Tensor",
            "float16",
            "float32",
            "float64",
            "bfloat16",
            "uint8",
            "int8",
            "int16",
            "int32",
            "int64",
            "bool",
            "complex64",
            "complex128",
            "strided",
            "contiguous_format",
        ],
    ),
];

/// Packages whose classes are data to pass over. Their functions are not: some of them run what they are given.
const PACKAGES: &[&str] = &[
    "fairseq",
    "avhubert",
    "omegaconf",
    "sentencepiece",
    "typing",
    "enum",
    "numpy.dtypes",
    "torch.nn",
    "torch.optim",
    "torch.storage",
];

/// The storage types of torch whose numbers can be read.
const STORAGES: &[(&str, Kind)] = &[
    ("FloatStorage", Kind::Float),
    ("HalfStorage", Kind::Half),
    ("BFloat16Storage", Kind::BFloat16),
    ("DoubleStorage", Kind::Double),
    ("LongStorage", Kind::Int64),
    ("IntStorage", Kind::Int),
    ("ShortStorage", Kind::Int16),
    ("CharStorage", Kind::Int8),
    ("ByteStorage", Kind::Uint8),
    ("BoolStorage", Kind::Bool),
];

/// The role of `module.name`, or the refusal that names it.
pub(super) fn role(module: &[u8], name: &[u8]) -> Checked<Role> {
    let known = match (std::str::from_utf8(module), std::str::from_utf8(name)) {
        (Ok(module), Ok(name)) if module.len().max(name.len()) <= LONGEST_KEY => known_role(module, name),
        _ => None,
    };
    known.ok_or_else(|| Fault {
        what: format!(
            "asks for {}.{}, which is not among the names a checkpoint needs; nothing was run",
            shorten(module),
            shorten(name)
        ),
        remedy: "do not load this file with PyTorch either; take the official one, or save only its state_dict",
    })
}

fn known_role(module: &str, name: &str) -> Option<Role> {
    match (module, name) {
        ("collections", "OrderedDict" | "defaultdict" | "Counter") => return Some(Role::Mapping),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Some(Role::RebuildTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            return Some(Role::RebuildParameter);
        }
        _ => {}
    }
    if let Some(role) = numpy_role(module, name) {
        return Some(role);
    }
    if module == "torch"
        && let Some((_, kind)) = STORAGES.iter().find(|(storage, _)| *storage == name)
    {
        return Some(Role::Storage(*kind));
    }
    let listed = HARMLESS.iter().any(|(modules, names)| modules.contains(&module) && names.contains(&name));
    let inside = |package: &&str| {
        module.strip_prefix(*package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let class = || PACKAGES.iter().any(&inside) && name.split('.').all(is_class);
    let other_storage = || module == "torch" && is_class(name) && name.ends_with("Storage");
    (listed || class() || other_storage()).then_some(Role::Opaque)
}

/// Whether a name is written as Python classes are. A path such as `os.system` through a package's own imports is not.
fn is_class(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The role of a function or type of NumPy that makes arrays.
fn numpy_role(module: &str, name: &str) -> Option<Role> {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Some(Role::Reconstruct),
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Some(Role::FromBuffer),
        ("numpy", "dtype") => Some(Role::Dtype),
        ("_codecs", "encode") => Some(Role::Encode),
        _ => None,
    }
}
