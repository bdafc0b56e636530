//! What a device cannot do: too little memory for a batch, or broken altogether.

use signclip_common::panics::guarded;
use signclip_common::{Error, Result};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many pieces of one kind of work a device takes at once; unlimited until it has run out of memory.
#[derive(Default)]
pub(crate) struct AtOnce(Option<usize>);

impl AtOnce {
    /// Do `work` on all `items`, in as few calls as the memory allows.
    pub(crate) fn run<I, O>(
        &mut self,
        what: &str,
        items: &[I],
        mut work: impl FnMut(&[I]) -> Result<Vec<O>>,
    ) -> Result<Vec<O>> {
        let mut done = Vec::new();
        let mut rest = items;
        while !rest.is_empty() {
            let count = self.0.unwrap_or(rest.len()).min(rest.len());
            match guarded(|| work(&rest[..count])) {
                Ok(more) => {
                    done.extend(more);
                    rest = &rest[count..];
                }
                Err(error) if count > 1 && is_out_of_memory(&error) => {
                    self.0 = Some(count / 2);
                    tracing::warn!("{what}: out of memory with {count} at once; from here on {}", count / 2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Whether libtorch says that there was too little memory, on a GPU or on the CPU. cuBLAS and cuDNN have words of their own.
pub(crate) fn is_out_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    let says = |words: &str| text.contains(words);
    matches!(error, Error::Torch(_))
        && (says("out of memory")
            || says("can't allocate memory")
            || says("CUBLAS_STATUS_ALLOC_FAILED")
            || says("CUDNN_STATUS_") && says("ALLOC"))
}

/// The devices of a run that still work.
pub(crate) struct Working {
    left: AtomicUsize,
    /// Numbers of those that do not, with the reason.
    lost: Mutex<Vec<(usize, Error)>>,
}

impl Working {
    pub(crate) fn new(devices: usize) -> Self {
        Self { left: AtomicUsize::new(devices), lost: Mutex::default() }
    }

    /// A device has broken; its work goes to the others.
    pub(crate) fn lose(&self, device: usize, reason: Error) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        // Another of its threads has said so already.
        if lost.iter().any(|(known, _)| *known == device) {
            return;
        }
        let left = self.left.fetch_sub(1, Ordering::SeqCst) - 1;
        tracing::error!("device {device} of this run is broken ({reason}); {left} left");
        lost.push((device, reason));
    }

    /// Whether there is none left.
    pub(crate) fn none(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// Numbers of the broken ones; an error where all are.
    pub(crate) fn finish(self) -> Result<Vec<usize>> {
        let none = self.none();
        let mut lost = self.lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        match lost.pop() {
            Some((_, reason)) if none => Err(Error::usage(
                format!("no device of this run works any more; the last one said: {reason}"),
                "what is stored stays; look at the device (nvidia-smi, dmesg) and run the same command again",
            )),
            last => Ok(lost.into_iter().chain(last).map(|(device, _)| device).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_halved_until_they_fit() {
        let items: Vec<usize> = (0..16).collect();
        let (mut at_once, mut calls) = (AtOnce::default(), Vec::new());
        let mut work = |items: &[usize]| {
            calls.push(items.len());
            if items.len() > 5 {
                return Err(Error::Torch("CUDA out of memory. Tried to allocate 2.00 GiB".into()));
            }
            Ok(items.iter().map(|i| i * 10).collect())
        };
        let tens: Vec<usize> = items.iter().map(|i| i * 10).collect();
        assert_eq!(at_once.run("test", &items, &mut work).unwrap(), tens);
        // The lesson is kept.
        assert_eq!(at_once.run("test", &items[..4], &mut work).unwrap(), tens[..4]);
        assert_eq!(calls, [16, 8, 4, 4, 4, 4, 4]);
        // The words of the CPU's allocator, out of a panic, and with nothing left to halve.
        let panics = |items: &[usize]| -> Result<Vec<usize>> {
            let said = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes";
            let refused = if items.is_empty() { Ok(()) } else { Err(tch::TchError::Torch(said.to_owned())) };
            refused.unwrap();
            Ok(Vec::new())
        };
        assert!(is_out_of_memory(&AtOnce::default().run("test", &items, panics).unwrap_err()));
        for said in [
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        ] {
            assert!(is_out_of_memory(&Error::Torch(said.to_owned())), "{said}");
        }
        assert!(!is_out_of_memory(&Error::Torch("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED".to_owned())));
        // Other errors are not tried again.
        let mut tried = 0;
        let other = |_: &[usize]| -> Result<Vec<usize>> {
            tried += 1;
            Err(Error::Torch("shapes cannot be multiplied".into()))
        };
        assert!(AtOnce::default().run("test", &items, other).is_err());
        assert_eq!(tried, 1);
    }
}
