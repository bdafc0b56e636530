//! The devices a run computes on, and opening the CUDA half of libtorch.
//!
//! Programs link only `libtorch_cpu.so`. When a CUDA device is asked for, `libtorch_cuda.so` is opened before any
//! other torch call: torch looks for its CUDA hooks once, at first use.

use crate::regular_file::{self, SETTINGS};
use crate::{Error, Result, libtorch, machine};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// What `--gpus` says: a comma-separated list of CUDA indices and `cpu`.
///
/// # Errors
/// Entries that are neither; no NVIDIA driver; no CUDA half of libtorch; an index beyond the devices present.
pub fn open(list: &str) -> Result<Vec<Device>> {
    let devices = parse(list)?;
    let wanted = devices.iter().filter_map(|d| if let Device::Cuda(i) = d { Some(*i) } else { None }).max();
    if let Some(highest) = wanted {
        open_cuda()?;
        let present = tch::Cuda::device_count();
        if highest as i64 >= present {
            return Err(Error::usage(
                format!("--gpus {list}: this machine has {present} CUDA device(s), numbered from 0"),
                "give numbers that exist, or --gpus cpu",
            ));
        }
    }
    Ok(devices)
}

/// The only device of [`open`]. Errors: more than one.
pub fn open_one(list: &str) -> Result<Device> {
    match open(list)?[..] {
        [device] => Ok(device),
        _ => Err(Error::usage(format!("--gpus {list}: this works on one device"), "name one")),
    }
}

/// The entries of a device list, without looking at the machine.
fn parse(list: &str) -> Result<Vec<Device>> {
    let entry = |e: &str| match e.trim() {
        "cpu" => Ok(Device::Cpu),
        n => n.parse().map(Device::Cuda).map_err(|_| {
            Error::usage(
                format!("--gpus {list}: {n:?} is not a device"),
                "give CUDA numbers or cpu, as in --gpus 0,1",
            )
        }),
    };
    list.split(',').map(entry).collect()
}

/// For people: each device once, the CPU with the number of threads it has in the list.
pub fn names(devices: &[Device]) -> Vec<String> {
    let cuda = devices.iter().filter(|device| device.is_cuda()).map(|device| format!("{device:?}"));
    let threads = devices.iter().filter(|&&device| device == Device::Cpu).count();
    let cpu = (threads > 0).then(|| format!("the CPU ({threads} threads)"));
    cuda.chain(cpu).collect()
}

/// All visible CUDA devices where there is a driver, else the CPU.
pub fn default_list() -> String {
    if driver().is_err() {
        return "cpu".to_owned();
    }
    match open_cuda() {
        Ok(()) => list_of(tch::Cuda::device_count()),
        // Named when the list is opened: a machine with a driver is meant to use it.
        Err(_) => "0".to_owned(),
    }
}

/// The list of `count` CUDA devices. None are visible where `CUDA_VISIBLE_DEVICES` is empty.
fn list_of(count: i64) -> String {
    match count {
        0 => "cpu".to_owned(),
        count => (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(","),
    }
}

/// The first visible CUDA device where there is a driver, else the CPU.
pub fn default_device() -> String {
    default_list().split(',').next().unwrap_or("cpu").to_owned()
}

/// Make the CUDA half of libtorch known to torch. Must come before any other torch call.
fn open_cuda() -> Result<()> {
    driver()?;
    let path = libtorch::cuda_half().map_err(|looked| {
        Error::usage(
            format!("the CUDA half of libtorch was not found; looked at {looked}"),
            "install a torch with CUDA (from source: ./justw setup), or use --gpus cpu",
        )
    })?;
    // SAFETY: libtorch's own library; its initialisers register the CUDA backend and nothing else.
    #[allow(unsafe_code)]
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        Ok(library) => {
            // Torch keeps pointers into it: it must stay open until the process ends.
            std::mem::forget(library);
            Ok(())
        }
        Err(e) => Err(Error::usage(
            format!("the CUDA half of libtorch cannot be opened ({e})"),
            "install the nvidia wheels that torch asks for (from source: ./justw cuda), or use --gpus cpu",
        )),
    }
}

/// Whether NVIDIA's driver can be opened; its version text where the kernel module says it.
pub fn driver() -> Result<Option<String>> {
    // SAFETY: the driver's user library has no initialisers with side effects on this process.
    #[allow(unsafe_code)]
    let library = unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW) };
    if library.is_err() {
        return Err(Error::usage(
            "no NVIDIA driver on this machine (libcuda.so.1 not found)",
            "install the driver, or use --gpus cpu",
        ));
    }
    let version = regular_file::read_to_string(Path::new("/proc/driver/nvidia/version"), SETTINGS).ok();
    Ok(version.and_then(|text| text.lines().next().map(str::to_owned)))
}

/// A tensor of the CPU on `device`. To a GPU it goes from pinned memory and without waiting, so that the copy
/// overlaps with what the GPU is doing (not checked: no GPU was at hand).
pub fn upload(tensor: &Tensor, device: Device) -> Tensor {
    match device {
        Device::Cuda(_) => tensor.internal_pin_memory(device).to_device_(device, tensor.kind(), true, false),
        _ => tensor.to_device(device),
    }
}

/// Waits until a GPU has done all that was asked of it.
pub fn synchronize(device: Device) {
    if let Device::Cuda(number) = device {
        tch::Cuda::synchronize(number as i64);
    }
}

/// Compute type by name: `f32`, `bf16`, or `auto` (bf16 on CUDA devices and on CPUs that multiply it natively).
pub fn compute_kind(name: &str, device: Device) -> Result<Kind> {
    match name {
        "f32" => Ok(Kind::Float),
        "bf16" => Ok(Kind::BFloat16),
        "auto" if device.is_cuda() || cpu_has_bf16() => Ok(Kind::BFloat16),
        "auto" => Ok(Kind::Float),
        _ => Err(Error::usage(format!("--dtype {name} is unknown"), "give f32, bf16 or auto")),
    }
}

/// Whether this CPU multiplies bf16 matrices in hardware, and oneDNN, which does it for libtorch, may use that.
pub fn cpu_has_bf16() -> bool {
    let flags = machine::cpuinfo();
    let limit = std::env::var("ONEDNN_MAX_CPU_ISA").unwrap_or_default();
    has_bf16(&flags, &limit)
}

/// By the flags of `/proc/cpuinfo` and the newest instructions that oneDNN may use (empty: any).
fn has_bf16(flags: &str, limit: &str) -> bool {
    const WITHOUT: [&str; 6] = ["SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"];
    let hardware = flags.contains(" avx512_bf16") || flags.contains(" amx_bf16");
    hardware && !WITHOUT.contains(&limit.to_uppercase().as_str())
}

/// How many times as long this CPU takes for a matrix product in `kind` as for the same one in float32, measured now (some
/// 100 ms at most). In bf16 about 0.5 with arithmetic for it; 2 to 3 where AVX-512 does it with conversions; 100 and more with
/// AVX2 alone, where libtorch multiplies in a scalar loop.
pub fn slowdown(kind: Kind) -> f64 {
    /// A quick product is repeated: the fastest of many is one that nothing disturbed.
    const REPEATED: (usize, Duration) = (20, Duration::from_millis(10));
    let seconds = |kind: Kind| {
        let [x, w] = [[64, 512], [512, 256]].map(|size| Tensor::ones(size, (kind, Device::Cpu)));
        // The first product prepares the kernel.
        let _ = x.matmul(&w);
        let (begun, mut fastest) = (Instant::now(), f64::INFINITY);
        for _ in 0..REPEATED.0 {
            let one = Instant::now();
            let _ = x.matmul(&w);
            fastest = fastest.min(one.elapsed().as_secs_f64());
            if begun.elapsed() > REPEATED.1 {
                break;
            }
        }
        fastest
    };
    seconds(kind) / seconds(Kind::Float).max(1e-9)
}

/// Warns, once a process, where networks compute in bf16 on a CPU that is slower in it than in float32. The log must have
/// started.
pub fn warn_of_slow_bf16(kind: Kind, devices: &[Device]) {
    static WARNED: Once = Once::new();
    if kind == Kind::BFloat16 && devices.contains(&Device::Cpu) && !cpu_has_bf16() {
        WARNED.call_once(|| {
            let slowdown = slowdown(kind);
            tracing::warn!(
                "this CPU has no bf16 arithmetic: a matrix product takes {slowdown:.1} times as long in bf16 as in f32 \
                 (measured now)"
            );
        });
    }
}

/// Short name of a compute type, as `--dtype` takes it.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bf16",
        _ => "f32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_by_hardware_and_by_limit() {
        for (flags, limit, has) in [
            (" avx2 avx512f avx512_bf16", "", true),
            (" avx2 amx_bf16", "AVX512_CORE_AMX", true),
            (" avx2 avx512f avx512_bf16", "avx2", false),
            (" avx2 avx512f", "", false),
        ] {
            assert_eq!(has_bf16(flags, limit), has, "{flags} {limit}");
        }
    }

    #[test]
    fn without_a_visible_gpu_the_default_is_the_cpu() {
        assert_eq!(parse(&list_of(0)).unwrap(), [Device::Cpu]);
        assert_eq!(parse(&list_of(2)).unwrap(), [Device::Cuda(0), Device::Cuda(1)]);
    }

    #[test]
    fn lists() {
        assert_eq!(parse("0,1,cpu").unwrap(), [Device::Cuda(0), Device::Cuda(1), Device::Cpu]);
        for bad in ["", "gpu", "0,,1", "-1"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
