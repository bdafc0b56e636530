//! Variables that libtorch and NVIDIA's libraries read once, when they are loaded. Each function is to be called before there is
//! another thread, and leaves a variable alone that the user has set.

/// For programs that may compute on a GPU (not checked: no GPU was at hand). float32 means float32 there: cuDNN would round
/// the inputs of convolutions to TF32, which tch has no switch for. cuDNN's fused attention makes a plan for each new shape,
/// and clips have many: libtorch's own kernels come first.
pub fn for_gpus() {
    set("NVIDIA_TF32_OVERRIDE", "0");
    set("TORCH_CUDNN_SDPA_DEPRIORITIZED", "1");
}

/// Lets libtorch put tensors of 2 MiB and more on huge pages. Decoding, most of which is reading weights, is a few percent
/// faster where they are that large (Flan-T5 base). Not for training: what is lost to alignment comes to 0.3 GiB in a step of
/// Flan-T5-XL.
pub fn huge_pages() {
    set("THP_MEM_ALLOC_ENABLE", "1");
}

fn set(name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        // SAFETY: no other thread reads or writes the environment yet.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(name, value);
        }
    }
}
